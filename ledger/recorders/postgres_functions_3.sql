-- Layout 3: signed heads against the row that holds the last one, and what outsiders said about signed heads.

-- Another parameter is another function; whoever may call `append` gets the right to call this one (Layouts, grants).
DROP FUNCTION :schema.add_checkpoint(bigint, bytea, bigint);

-- Store a signed head by compare-and-swap, only ever forward (SqlRecorder.add_checkpoint).
CREATE FUNCTION :schema.add_checkpoint(
    p_size bigint, p_root bytea, p_note bytea, p_previous bigint, p_previous_root bytea
) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    present bigint;
    name text;
BEGIN
    SELECT h.size, l.origin INTO STRICT present, name
        FROM :schema.head h JOIN :schema.log l ON l.id = h.id WHERE h.id = 1 FOR UPDATE OF h;
    IF p_size <= p_previous OR p_size > present
        OR p_previous <> coalesce((SELECT max(c.size) FROM :schema.checkpoint c), 0)
        OR NOT EXISTS (SELECT FROM :schema.signed_head s
                       WHERE s.id = 1 AND s.size = p_previous AND s.root = p_previous_root) THEN
        RETURN false;
    END IF;
    IF (length(p_root) = 32 AND length(p_note) <= 65536 AND 1 = position(convert_to(
            name || E'\n' || p_size || E'\n' || encode(p_root, 'base64') || E'\n\n', 'UTF8') IN p_note)) IS NOT TRUE THEN
        RAISE EXCEPTION 'a signed head is not about what it is stored for' USING ERRCODE = 'MU004';
    END IF;
    INSERT INTO :schema.checkpoint (size, note) VALUES (p_size, p_note);
    UPDATE :schema.signed_head s SET size = p_size, root = p_root WHERE s.id = 1;
    RETURN true;
END $body$;

-- Keep what an outsider said about a signed head (SqlRecorder.add_attestation); false when it is there already.
CREATE FUNCTION :schema.add_attestation(p_size bigint, p_kind text, p_issuer text, p_body bytea)
    RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    head_note bytea;
    name text;
    parts text[];
    line bytea;
    key bytea;
BEGIN
    PERFORM FROM :schema.head h WHERE h.id = 1 FOR UPDATE;
    IF (p_kind IN ('cosignature', 'rfc3161', 'published') AND length(p_issuer) BETWEEN 1 AND 4096
        AND length(p_body) BETWEEN 1 AND 65536) IS NOT TRUE THEN
        RAISE EXCEPTION 'an attestation is out of its bounds' USING ERRCODE = 'MU004';
    END IF;
    SELECT c.note INTO head_note FROM :schema.checkpoint c WHERE c.size = p_size;
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
    IF EXISTS (SELECT FROM :schema.attestation a
               WHERE a.size = p_size AND a.kind = p_kind AND a.issuer = p_issuer AND a.body = p_body) THEN
        RETURN false;
    END IF;
    INSERT INTO :schema.attestation (number, size, kind, issuer, body, recorded_at)
        SELECT coalesce(max(a.number), 0) + 1, p_size, p_kind, p_issuer, p_body,
               (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
        FROM :schema.attestation a;
    RETURN true;
END $body$;

-- Withhold contents that an erasure record names; the trigger on each row looks for the record. How many went.
CREATE FUNCTION :schema.withhold(p_positions bigint[])
    RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    gone bigint;
BEGIN
    PERFORM FROM :schema.head h WHERE h.id = 1 FOR UPDATE;
    IF EXISTS (SELECT FROM :schema.successor) THEN
        RAISE EXCEPTION 'this ledger has moved to %', (SELECT s.place FROM :schema.successor s);
    END IF;
    DELETE FROM :schema.content c WHERE c.position = ANY (p_positions);
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $body$;

REVOKE ALL ON FUNCTION :schema.add_checkpoint, :schema.add_attestation, :schema.withhold FROM PUBLIC;
