CREATE SCHEMA LAYOUT1;
CREATE TABLE LAYOUT1.log (id integer PRIMARY KEY CHECK (id = 1), ledgerid text COLLATE "C" NOT NULL,
    origin text COLLATE "C" NOT NULL, format integer NOT NULL);
CREATE TABLE LAYOUT1.entry (position bigint PRIMARY KEY, stream text COLLATE "C" NOT NULL, revision bigint NOT NULL,
    type text COLLATE "C" NOT NULL, actor text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL,
    emitter text COLLATE "C" NOT NULL, sequence bigint NOT NULL, subject text COLLATE "C" NOT NULL,
    item integer NOT NULL, keys text COLLATE "C" NOT NULL, payload bytea NOT NULL, envelope bytea NOT NULL,
    prev bytea NOT NULL, recorded_at bigint NOT NULL, leaf_hash bytea NOT NULL,
    UNIQUE (stream, revision), UNIQUE (id, actor), UNIQUE (emitter, sequence, actor));
CREATE TABLE LAYOUT1.content (position bigint PRIMARY KEY, payload bytea NOT NULL, signatures bytea NOT NULL);
CREATE TABLE LAYOUT1.head (id integer PRIMARY KEY CHECK (id = 1), size bigint NOT NULL, last_leaf bytea NOT NULL,
    peaks bytea NOT NULL, recorded_at bigint NOT NULL, authority bigint NOT NULL);
CREATE TABLE LAYOUT1.tile (level integer NOT NULL, idx bigint NOT NULL, hashes bytea NOT NULL, root bytea NOT NULL,
    PRIMARY KEY (level, idx));
CREATE TABLE LAYOUT1.checkpoint (size bigint PRIMARY KEY, note bytea NOT NULL);
CREATE TABLE LAYOUT1.tracking (name text COLLATE "C" PRIMARY KEY, position bigint NOT NULL);
CREATE FUNCTION LAYOUT1.forbid() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN RAISE EXCEPTION 'the log is append-only'; END $body$;
CREATE FUNCTION LAYOUT1.head_forward() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF NEW.size < OLD.size OR NEW.id <> OLD.id THEN RAISE EXCEPTION 'the log is append-only'; END IF;
    RETURN NEW;
END $body$;
CREATE TRIGGER head_forward BEFORE UPDATE ON LAYOUT1.head FOR EACH ROW EXECUTE FUNCTION LAYOUT1.head_forward();
CREATE TRIGGER head_kept BEFORE DELETE OR TRUNCATE ON LAYOUT1.head FOR EACH STATEMENT EXECUTE FUNCTION LAYOUT1.forbid();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON LAYOUT1.log
    FOR EACH STATEMENT EXECUTE FUNCTION LAYOUT1.forbid();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON LAYOUT1.entry
    FOR EACH STATEMENT EXECUTE FUNCTION LAYOUT1.forbid();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON LAYOUT1.content
    FOR EACH STATEMENT EXECUTE FUNCTION LAYOUT1.forbid();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON LAYOUT1.tile
    FOR EACH STATEMENT EXECUTE FUNCTION LAYOUT1.forbid();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON LAYOUT1.checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION LAYOUT1.forbid();
