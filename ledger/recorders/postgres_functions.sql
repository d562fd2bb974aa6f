-- What roles that write may call: the clock is the server's.
CREATE FUNCTION :schema.append(
    p_first integer[], p_authorities bigint[], p_streams text[],
    p_read_first integer[], p_read_stream integer[], p_read_revision bigint[],
    p_stream integer[], p_name text[], p_type text[], p_actor text[], p_id text[], p_emitter text[], p_sequence bigint[],
    p_subject text[], p_item integer[], p_keys text[], p_payload bytea[], p_envelope bytea[], p_changes boolean[],
    p_content bytea[], p_signatures bytea[],
    OUT recorded bigint, OUT positions bigint[], OUT revisions bigint[], OUT leaves bytea[], OUT known bigint[],
    OUT refused text[], OUT detail bigint[], OUT seen bigint[]
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    SELECT a.* INTO recorded, positions, revisions, leaves, known, refused, detail, seen
        FROM :schema.append_at(NULL, p_first, p_authorities, p_streams, p_read_first, p_read_stream, p_read_revision,
            p_stream, p_name, p_type, p_actor, p_id, p_emitter, p_sequence, p_subject, p_item, p_keys, p_payload,
            p_envelope, p_changes, p_content, p_signatures) a;
END $body$;

-- Store a signed head by compare-and-swap, only ever forward (SqlRecorder.add_checkpoint).
CREATE FUNCTION :schema.add_checkpoint(p_size bigint, p_note bytea, p_previous bigint)
    RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    present bigint;
BEGIN
    SELECT h.size INTO STRICT present FROM :schema.head h WHERE h.id = 1 FOR UPDATE;
    IF p_size <= p_previous OR p_size > present
        OR p_previous <> coalesce((SELECT max(c.size) FROM :schema.checkpoint c), 0) THEN
        RETURN false;
    END IF;
    INSERT INTO :schema.checkpoint (size, note) VALUES (p_size, p_note);
    RETURN true;
END $body$;

REVOKE ALL ON FUNCTION :schema.append_at, :schema.append, :schema.add_checkpoint FROM PUBLIC;
