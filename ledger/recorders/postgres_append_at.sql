-- The server-side append: one call, one round trip, one transaction under the head lock.
--
-- It does what recorders/append.py does, in the same order and with the same outcomes; tests/contract/
-- test_server_append.py compares the two over random histories. `:schema` is replaced by the log's schema when a ledger
-- is made. Both functions run with their owner's rights and a pinned search_path, so that a role may append and store
-- signed heads with no right to write any table.
--
-- p_first[u] is the number of the first event of unit u; p_read_first[u] that of its first read. An event names its
-- stream by its place in p_streams, and so does a read. What is returned, by event: its position, revision and leaf
-- hash, or its known position when the same author's id was recorded before. By unit: why it was refused, NULL when it
-- was appended, which of its events or reads it was (from 0), and what the log holds of that: a position or a revision.

CREATE OR REPLACE FUNCTION :schema.append_at(
    p_now bigint,
    p_first integer[], p_authorities bigint[], p_streams text[],
    p_read_first integer[], p_read_stream integer[], p_read_revision bigint[],
    p_stream integer[], p_name text[], p_type text[], p_actor text[], p_id text[], p_emitter text[], p_sequence bigint[],
    p_subject text[], p_item integer[], p_keys text[], p_payload bytea[], p_envelope bytea[], p_changes boolean[],
    p_content bytea[], p_signatures bytea[],
    OUT recorded bigint, OUT positions bigint[], OUT revisions bigint[], OUT leaves bytea[], OUT known bigint[],
    OUT refused text[], OUT detail bigint[], OUT seen bigint[]
) LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off  -- plans are kept while the log grows, so they must be those for a large log
    SET jit = off
AS $body$
<<own>>
DECLARE
    head record;
    e record;
    time_text text;
    now_us bigint;
    size bigint;
    authority bigint;
    prev bytea;
    peaks bytea;
    node bytea;
    width integer;
    level integer;
    rest bigint;
    last bigint[];               -- last revision by stream, with the units before this one
    same boolean[] := '{}';      -- the known event has the same payload
    taken boolean[] := '{}';     -- the emitter's number was used before
    prevs bytea[];
    tile_levels integer[] := '{}';
    tile_roots bytea[] := '{}';
    tile_indexes bigint[] := '{}';
    unit integer := 0;
    stop integer;
    fresh integer;
    number bigint;
    good boolean;
BEGIN
    SELECT h.size, h.last_leaf, h.peaks, h.recorded_at, h.authority, l.ledgerid, l.format INTO STRICT head
        FROM :schema.head h JOIN :schema.log l ON l.id = h.id WHERE h.id = 1 FOR UPDATE OF h;
    IF head.format <= 0 THEN  -- a copy that is not finished
        RAISE EXCEPTION 'closed %', head.format USING ERRCODE = 'MU003';
    END IF;
    now_us := coalesce(p_now, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    IF head.recorded_at - now_us > 5000000 THEN
        RAISE EXCEPTION 'clock % %', now_us, head.recorded_at USING ERRCODE = 'MU001';
    END IF;
    recorded := greatest(now_us, head.recorded_at);
    time_text := to_char(to_timestamp(recorded / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
        || '.' || lpad((recorded % 1000000)::text, 6, '0') || 'Z';

    positions := array_fill(NULL::bigint, ARRAY[cardinality(p_id)]);
    revisions := positions;
    leaves := array_fill(NULL::bytea, ARRAY[cardinality(p_id)]);
    prevs := leaves;
    refused := array_fill(NULL::text, ARRAY[cardinality(p_first)]);
    detail := array_fill(NULL::bigint, ARRAY[cardinality(p_first)]);
    seen := detail;

    -- What the log holds of these names.
    known := positions;
    last := array_fill(NULL::bigint, ARRAY[cardinality(p_streams)]);
    FOR j IN 1 .. cardinality(p_streams) LOOP
        SELECT coalesce(max(k.revision), 0) INTO number FROM :schema.entry k WHERE k.stream = p_streams[j];
        last[j] := number;
    END LOOP;
    FOR e IN
        SELECT i.* FROM unnest(p_stream, p_name, p_type, p_actor, p_id, p_emitter, p_sequence, p_subject, p_item, p_keys,
                               p_payload, p_envelope, p_content, p_changes) WITH ORDINALITY
            AS i(stream, name, type, actor, id, emitter, sequence, subject, item, keys, payload, envelope, content,
                 changes, n)
        ORDER BY i.n
    LOOP
        -- What no entry may hold (docs/FORMAT.md, Entry); our own client has refused it before.
        IF (e.type || e.actor || e.id || e.emitter || e.subject || e.name ~ '^[ !#-\[\]-~]+$'
            AND length(e.type) BETWEEN 1 AND 255 AND length(e.actor) BETWEEN 1 AND 255
            AND length(e.id) BETWEEN 1 AND 255 AND length(e.emitter) BETWEEN 1 AND 255
            AND length(e.subject) BETWEEN 1 AND 255 AND length(e.name) BETWEEN 1 AND 255
            AND e.sequence BETWEEN 1 AND 9007199254740991 AND e.item BETWEEN 0 AND 2147483647
            AND (length(e.keys) = 64 AND e.keys ~ '^[0-9a-f]+$'  -- a bounded repetition takes 100 us to match
                OR e.keys ~ '^[0-9a-f]{64}(,[0-9a-f]{64}){1,15}$')
            AND length(e.envelope) = 32 AND length(e.content) <= 65536
            -- A change of keys, roles, rules or quarantines that is not said to be one would leave others judging by the
            -- old ones.
            AND e.changes = (starts_with(e.name, 'actor:') OR starts_with(e.name, 'ledger:')
                OR e.type = 'muniment.quarantine.placed.v1')
            AND e.payload = sha256(e.content) AND e.name = p_streams[e.stream]) IS NOT TRUE THEN
            RAISE EXCEPTION 'an event is out of the bounds of an entry' USING ERRCODE = 'MU002';
        END IF;
        SELECT k.position, k.payload = e.payload INTO number, good FROM :schema.entry k
            WHERE k.id = e.id AND k.actor = e.actor;
        known[e.n] := number;
        same[e.n] := good;
        PERFORM FROM :schema.entry k WHERE k.emitter = e.emitter AND k.sequence = e.sequence AND k.actor = e.actor;
        taken[e.n] := FOUND;
    END LOOP;

    -- Signatures are verified by who reads; here they have their only form, under the keys that the entry names, and
    -- make the envelope that it names. Otherwise a row would look as if it had been altered later.
    SELECT bool_and((array_to_string(s.keys, ',') = i.keys AND s.form = encode(i.signatures, 'escape')
            AND i.envelope = sha256(convert_to('{"payload":"' || translate(encode(i.content, 'base64'), E'\n', '')
                || '","payloadType":"application/cloudevents+json","signatures":' || s.form || '}', 'UTF8'))) IS TRUE)
        INTO good
        FROM unnest(p_keys, p_envelope, p_content, p_signatures) AS i(keys, envelope, content, signatures)
        CROSS JOIN LATERAL (
            SELECT array_agg(DISTINCT k.key ORDER BY k.key) AS keys,
                   '[' || string_agg('{"keyid":"' || k.key || '","sig":"' || k.sig || '"}', ',' ORDER BY k.n) || ']'
                       AS form
            FROM (
                SELECT t.key, t.n, CASE WHEN t.sig LIKE '%==' AND '==' = translate(t.sig,
                    'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', '')
                    THEN translate(encode(decode(t.sig, 'base64'), 'base64'), E'\n', '') END AS sig
                FROM (
                    SELECT w.key, w.n, substr(encode(i.signatures, 'escape'), (174 * w.n - 89)::integer, 88) AS sig
                    FROM unnest(string_to_array(i.keys COLLATE "C", ',')) WITH ORDINALITY AS w(key, n)) AS t
            ) AS k) AS s;
    IF NOT good THEN
        RAISE EXCEPTION 'an event is out of the bounds of an entry' USING ERRCODE = 'MU002';
    END IF;

    size := head.size;
    authority := head.authority;
    prev := head.last_leaf;
    peaks := head.peaks;
    FOR e IN
        SELECT '{"actor":"' || i.actor || '","emitter":"' || i.emitter || '","envelope":"' || encode(i.envelope, 'hex')
                   || '","id":"' || i.id || '","index":' AS a,
               ',"item":' || i.item || ',"keys":["' || replace(i.keys, ',', '","') || '"],"ledgerid":"' || head.ledgerid
                   || '","payload":"' || encode(i.payload, 'hex') || '","prev":"' AS b,
               '","recorded_at":"' || time_text || '","revision":' AS c,
               ',"sequence":' || i.sequence || ',"stream":"' || i.name || '","subject":"' || i.subject
                   || '","type":"' || i.type || '","v":1}' AS d,
               i.stream, i.changes, i.n
        FROM unnest(p_stream, p_name, p_type, p_actor, p_id, p_emitter, p_sequence, p_subject, p_item, p_keys, p_payload,
                    p_envelope, p_changes) WITH ORDINALITY
            AS i(stream, name, type, actor, id, emitter, sequence, subject, item, keys, payload, envelope, changes, n)
        ORDER BY i.n
    LOOP
        IF unit < cardinality(p_first) AND e.n = p_first[unit + 1] THEN
            -- The next unit: everything about it is decided before anything of it is done.
            unit := unit + 1;
            stop := coalesce(p_first[unit + 1], cardinality(p_id) + 1);
            fresh := 0;
            FOR j IN p_first[unit] .. stop - 1 LOOP
                IF known[j] IS NULL THEN
                    fresh := fresh + 1;
                ELSIF NOT same[j] AND refused[unit] IS NULL THEN
                    refused[unit] := 'id';
                    detail[unit] := j - p_first[unit];
                    seen[unit] := known[j];
                END IF;
            END LOOP;
            IF refused[unit] IS NULL AND fresh > 0 THEN
                IF p_authorities[unit] <> authority THEN
                    refused[unit] := 'authority';
                ELSE
                    FOR j IN p_read_first[unit] .. coalesce(p_read_first[unit + 1], cardinality(p_read_stream) + 1) - 1
                    LOOP
                        IF refused[unit] IS NULL AND last[p_read_stream[j]] <> p_read_revision[j] THEN
                            refused[unit] := 'stream';
                            detail[unit] := j - p_read_first[unit];
                            seen[unit] := last[p_read_stream[j]];
                        END IF;
                    END LOOP;
                END IF;
                IF refused[unit] IS NULL AND fresh < stop - p_first[unit] AND p_authorities[unit] IS NOT NULL THEN
                    refused[unit] := 'part';
                END IF;
                FOR j IN p_first[unit] .. stop - 1 LOOP
                    IF refused[unit] IS NULL AND known[j] IS NULL AND taken[j] THEN
                        refused[unit] := 'sequence';
                        detail[unit] := j - p_first[unit];
                    END IF;
                END LOOP;
            END IF;
            good := refused[unit] IS NULL;
        END IF;
        IF NOT good OR known[e.n] IS NOT NULL THEN
            CONTINUE;
        END IF;

        last[e.stream] := last[e.stream] + 1;
        node := sha256('\x00'::bytea || convert_to(
            e.a || size || e.b || encode(prev, 'hex') || e.c || last[e.stream] || e.d, 'UTF8'));
        size := size + 1;
        positions[e.n] := size;
        revisions[e.n] := last[e.stream];
        leaves[e.n] := node;
        prevs[e.n] := prev;
        prev := node;
        IF e.changes THEN
            authority := size - 1;
        END IF;

        -- The compact range (RFC 6962 2.1): one perfect tree for each bit of the size, largest first.
        rest := size - 1;
        level := 0;
        width := length(peaks);
        WHILE rest & 1 = 1 LOOP
            node := sha256('\x01'::bytea || substr(peaks, width - 31, 32) || node);
            width := width - 32;
            rest := rest >> 1;
            level := level + 1;
            IF level & 7 = 0 THEN
                tile_levels := tile_levels || (level / 8 - 1);
                tile_indexes := tile_indexes || rest;
                tile_roots := tile_roots || node;
            END IF;
        END LOOP;
        peaks := substr(peaks, 1, width) || node;
    END LOOP;

    IF size = head.size THEN
        RETURN;
    END IF;
    INSERT INTO :schema.entry (position, stream, revision, type, actor, id, emitter, sequence, subject, item, keys,
                               payload, envelope, prev, recorded_at, leaf_hash)
        SELECT i.position, i.name, i.revision, i.type, i.actor, i.id, i.emitter, i.sequence, i.subject,
               i.item, i.keys, i.payload, i.envelope, i.prev, recorded, i.leaf
        FROM unnest(positions, p_name, revisions, p_type, p_actor, p_id, p_emitter, p_sequence, p_subject, p_item,
                    p_keys, p_payload, p_envelope, prevs, leaves)
            AS i(position, name, revision, type, actor, id, emitter, sequence, subject, item, keys, payload,
                 envelope, prev, leaf)
        WHERE i.position IS NOT NULL;
    INSERT INTO :schema.content (position, payload, signatures)
        SELECT i.position, i.content, i.signatures FROM unnest(positions, p_content, p_signatures)
            AS i(position, content, signatures)
        WHERE i.position IS NOT NULL;
    FOR j IN 1 .. cardinality(tile_levels) LOOP
        INSERT INTO :schema.tile (level, idx, hashes, root)
            SELECT tile_levels[j], tile_indexes[j], string_agg(i.hash, ''::bytea ORDER BY i.n), tile_roots[j]
            FROM (SELECT k.position AS n, k.leaf_hash AS hash FROM :schema.entry k
                  WHERE tile_levels[j] = 0
                    AND k.position > tile_indexes[j] * 256 AND k.position <= tile_indexes[j] * 256 + 256
                  UNION ALL
                  SELECT t.idx, t.root FROM :schema.tile t
                  WHERE t.level = tile_levels[j] - 1
                    AND t.idx >= tile_indexes[j] * 256 AND t.idx < tile_indexes[j] * 256 + 256) i;
    END LOOP;
    UPDATE :schema.head h
        SET size = own.size, last_leaf = own.prev, peaks = own.peaks, recorded_at = append_at.recorded,
            authority = own.authority
        WHERE h.id = 1;
END $body$;

