CREATE TABLE LAYOUT1.signed_head (id integer PRIMARY KEY CHECK (id = 1), size bigint NOT NULL, root bytea NOT NULL);
INSERT INTO LAYOUT1.signed_head VALUES (1, 0, decode('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', 'hex'));
CREATE TABLE LAYOUT1.attestation (number bigint PRIMARY KEY, size bigint NOT NULL, kind text COLLATE "C" NOT NULL,
    issuer text COLLATE "C" NOT NULL, body bytea NOT NULL, recorded_at bigint NOT NULL);
CREATE INDEX attestation_by_size ON LAYOUT1.attestation (size, number);

CREATE FUNCTION LAYOUT1.signed_head_forward() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF NOT (NEW.id = OLD.id AND NEW.size > OLD.size) THEN RAISE EXCEPTION 'the log is append-only'; END IF;
    RETURN NEW;
END $body$;
CREATE TRIGGER signed_head_forward BEFORE UPDATE ON LAYOUT1.signed_head
    FOR EACH ROW EXECUTE FUNCTION LAYOUT1.signed_head_forward();
CREATE TRIGGER signed_head_kept BEFORE DELETE OR TRUNCATE ON LAYOUT1.signed_head
    FOR EACH STATEMENT EXECUTE FUNCTION LAYOUT1.forbid();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON LAYOUT1.attestation
    FOR EACH STATEMENT EXECUTE FUNCTION LAYOUT1.forbid();
CREATE TRIGGER attestation_moved BEFORE INSERT ON LAYOUT1.attestation FOR EACH ROW EXECUTE FUNCTION LAYOUT1.head_moved();
DROP TRIGGER append_only ON LAYOUT1.content;
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON LAYOUT1.content
    FOR EACH STATEMENT EXECUTE FUNCTION LAYOUT1.forbid();
CREATE FUNCTION LAYOUT1.content_erased() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT c.payload, o.leaf_hash FROM LAYOUT1.entry k JOIN LAYOUT1.content c ON c.position = k.position
            JOIN LAYOUT1.entry o ON o.position = OLD.position
            WHERE k.stream = 'ledger:' || (SELECT l.ledgerid FROM LAYOUT1.log l) AND k.type = 'muniment.subject.erased.v1'
                AND k.position > OLD.position ORDER BY k.revision DESC
    LOOP
        BEGIN
            IF EXISTS (SELECT FROM
                    jsonb_array_elements(convert_from(r.payload, 'UTF8')::jsonb -> 'data' -> 'entries') i
                    WHERE i -> 'index' = to_jsonb(OLD.position - 1) AND i ->> 'scope' = 'whole'
                        AND i ->> 'leaf_hash' = encode(r.leaf_hash, 'hex')) THEN
                RETURN OLD;
            END IF;
        EXCEPTION WHEN data_exception THEN CONTINUE;  -- put in by SQL: it is void, and no record
        END;
    END LOOP;
    RAISE EXCEPTION 'the log is append-only';
END $body$;
CREATE TRIGGER content_erased BEFORE DELETE ON LAYOUT1.content FOR EACH ROW EXECUTE FUNCTION LAYOUT1.content_erased();
-- Layout 3: signed heads against the row that holds the last one, and what outsiders said about signed heads.

-- Another parameter is another function; whoever may call `append` gets the right to call this one (Layouts, grants).
DROP FUNCTION LAYOUT1.add_checkpoint(bigint, bytea, bigint);

-- Store a signed head by compare-and-swap, only ever forward (SqlRecorder.add_checkpoint).
CREATE FUNCTION LAYOUT1.add_checkpoint(
    p_size bigint, p_root bytea, p_note bytea, p_previous bigint, p_previous_root bytea
) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    present bigint;
    name text;
BEGIN
    SELECT h.size, l.origin INTO STRICT present, name
        FROM LAYOUT1.head h JOIN LAYOUT1.log l ON l.id = h.id WHERE h.id = 1 FOR UPDATE OF h;
    IF p_size <= p_previous OR p_size > present
        OR p_previous <> coalesce((SELECT max(c.size) FROM LAYOUT1.checkpoint c), 0)
        OR NOT EXISTS (SELECT FROM LAYOUT1.signed_head s
                       WHERE s.id = 1 AND s.size = p_previous AND s.root = p_previous_root) THEN
        RETURN false;
    END IF;
    IF (length(p_root) = 32 AND length(p_note) <= 65536 AND 1 = position(convert_to(
            name || E'\n' || p_size || E'\n' || encode(p_root, 'base64') || E'\n\n', 'UTF8') IN p_note)) IS NOT TRUE THEN
        RAISE EXCEPTION 'a signed head is not about what it is stored for' USING ERRCODE = 'MU004';
    END IF;
    INSERT INTO LAYOUT1.checkpoint (size, note) VALUES (p_size, p_note);
    UPDATE LAYOUT1.signed_head s SET size = p_size, root = p_root WHERE s.id = 1;
    RETURN true;
END $body$;

-- Keep what an outsider said about a signed head (SqlRecorder.add_attestation); false when it is there already.
CREATE FUNCTION LAYOUT1.add_attestation(p_size bigint, p_kind text, p_issuer text, p_body bytea)
    RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    head_note bytea;
    name text;
    parts text[];
    line bytea;
    key bytea;
BEGIN
    PERFORM FROM LAYOUT1.head h WHERE h.id = 1 FOR UPDATE;
    IF (p_kind IN ('cosignature', 'rfc3161', 'published') AND length(p_issuer) BETWEEN 1 AND 4096
        AND length(p_body) BETWEEN 1 AND 65536) IS NOT TRUE THEN
        RAISE EXCEPTION 'an attestation is out of its bounds' USING ERRCODE = 'MU004';
    END IF;
    SELECT c.note INTO head_note FROM LAYOUT1.checkpoint c WHERE c.size = p_size;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no head of size % was signed here', p_size USING ERRCODE = 'MU004';
    END IF;
    IF p_kind = 'rfc3161' AND position(sha256(head_note) IN p_body) = 0 THEN
        RAISE EXCEPTION 'the timestamp is not over this signed head' USING ERRCODE = 'MU004';
    END IF;
    -- name+hash+key is the issuer, and the line is a dash, the name, and hash, time and signature of that very key.
    -- Ed25519 is not known here: a writer can still keep a line of this form that does not verify.
    IF p_kind = 'cosignature' THEN
        name := split_part(p_issuer, '+', 1);
        parts := regexp_match(substr(p_issuer, length(name) + 2), '^([0-9a-f]{8})[+]([A-Za-z0-9+/]{44})$');
        line := convert_to('— ' || name || ' ', 'UTF8');
        IF (name !~ '[[:space:]]' AND substr(p_body, 1, length(line)) = line AND encode(substr(p_body, length(line) + 1),
                'escape') ~ '^[A-Za-z0-9+/]{101}[AQgw]==$') IS NOT TRUE OR parts IS NULL THEN
            RAISE EXCEPTION 'this is no cosignature of the witness it names' USING ERRCODE = 'MU004';
        END IF;
        key := decode(parts[2], 'base64');
        IF get_byte(key, 0) <> 4 OR decode(parts[1], 'hex')
                <> substr(sha256(convert_to(name || E'\n', 'UTF8') || key), 1, 4) OR decode(parts[1], 'hex')
                <> substr(decode(encode(substr(p_body, length(line) + 1), 'escape'), 'base64'), 1, 4) THEN
            RAISE EXCEPTION 'this is no cosignature of the witness it names' USING ERRCODE = 'MU004';
        END IF;
    END IF;
    IF EXISTS (SELECT FROM LAYOUT1.attestation a
               WHERE a.size = p_size AND a.kind = p_kind AND a.issuer = p_issuer AND a.body = p_body) THEN
        RETURN false;
    END IF;
    INSERT INTO LAYOUT1.attestation (number, size, kind, issuer, body, recorded_at)
        SELECT coalesce(max(a.number), 0) + 1, p_size, p_kind, p_issuer, p_body,
               (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
        FROM LAYOUT1.attestation a;
    RETURN true;
END $body$;

-- Withhold contents that an erasure record names; the trigger on each row looks for the record. How many went.
CREATE FUNCTION LAYOUT1.withhold(p_positions bigint[])
    RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    gone bigint;
BEGIN
    PERFORM FROM LAYOUT1.head h WHERE h.id = 1 FOR UPDATE;
    IF EXISTS (SELECT FROM LAYOUT1.successor) THEN
        RAISE EXCEPTION 'this ledger has moved to %', (SELECT s.place FROM LAYOUT1.successor s);
    END IF;
    DELETE FROM LAYOUT1.content c WHERE c.position = ANY (p_positions);
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $body$;

REVOKE ALL ON FUNCTION LAYOUT1.add_checkpoint, LAYOUT1.add_attestation, LAYOUT1.withhold FROM PUBLIC;
