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
BEGIN
    PERFORM FROM :schema.head h WHERE h.id = 1 FOR UPDATE;
    IF (p_kind IN ('cosignature', 'rfc3161', 'published') AND length(p_issuer) BETWEEN 1 AND 4096
        AND length(p_body) BETWEEN 1 AND 65536) IS NOT TRUE THEN
        RAISE EXCEPTION 'an attestation is out of its bounds' USING ERRCODE = 'MU004';
    END IF;
    IF NOT EXISTS (SELECT FROM :schema.checkpoint c WHERE c.size = p_size) THEN
        RAISE EXCEPTION 'no head of size % was signed here', p_size USING ERRCODE = 'MU004';
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
