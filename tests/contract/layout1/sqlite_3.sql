CREATE TABLE signed_head (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, root BLOB NOT NULL) STRICT;
INSERT INTO signed_head VALUES (1, 0, x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
CREATE TRIGGER signed_head_forward BEFORE UPDATE ON signed_head WHEN NOT (NEW.id = OLD.id AND NEW.size > OLD.size)
    BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER signed_head_no_delete BEFORE DELETE ON signed_head BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER signed_head_no_insert BEFORE INSERT ON signed_head WHEN EXISTS (SELECT 1 FROM signed_head)
    BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TABLE attestation (number INTEGER PRIMARY KEY, size INTEGER NOT NULL, kind TEXT NOT NULL, issuer TEXT NOT NULL,
    body BLOB NOT NULL, recorded_at INTEGER NOT NULL) STRICT;
CREATE INDEX attestation_by_size ON attestation (size, number);
CREATE TRIGGER attestation_no_update BEFORE UPDATE ON attestation BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER attestation_no_delete BEFORE DELETE ON attestation BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER attestation_no_replace BEFORE INSERT ON attestation
    WHEN EXISTS (SELECT 1 FROM attestation WHERE number = NEW.number) BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
DROP TRIGGER IF EXISTS content_no_delete;
CREATE TRIGGER content_no_delete BEFORE DELETE ON content WHEN NOT EXISTS (
    SELECT 1 FROM entry r JOIN content c ON c.position = r.position, json_each(
        CASE WHEN json_valid(CAST(c.payload AS TEXT)) THEN CAST(c.payload AS TEXT) ELSE '{}' END, '$.data.entries') i
    WHERE r.stream = 'ledger:' || (SELECT ledgerid FROM log) AND r.type = 'muniment.subject.erased.v1' AND r.position > OLD.position
        AND json_extract(CAST(c.payload AS TEXT), i.fullkey || '.index') = OLD.position - 1
        AND json_extract(CAST(c.payload AS TEXT), i.fullkey || '.scope') = 'whole'
        AND json_extract(CAST(c.payload AS TEXT), i.fullkey || '.leaf_hash') = (SELECT lower(hex(leaf_hash)) FROM entry
            WHERE position = OLD.position)) BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
