CREATE TABLE successor (id INTEGER PRIMARY KEY CHECK (id = 1), place TEXT NOT NULL, note BLOB NOT NULL) STRICT;
CREATE TABLE transfer (id INTEGER PRIMARY KEY CHECK (id = 1), kind TEXT NOT NULL, token TEXT NOT NULL,
    manifest BLOB NOT NULL) STRICT;
DROP TRIGGER log_no_update;
CREATE TRIGGER log_forward BEFORE UPDATE ON log WHEN NOT (NEW.id = OLD.id AND NEW.ledgerid = OLD.ledgerid AND NEW.origin = OLD.origin AND ((OLD.format < 0 AND NEW.format = -OLD.format) OR (OLD.format > 0 AND NEW.format > OLD.format))) BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER head_moved BEFORE UPDATE ON head WHEN EXISTS (SELECT 1 FROM successor)
    BEGIN SELECT RAISE(ABORT, 'this ledger has moved to ' || (SELECT place FROM successor)); END;
CREATE TRIGGER successor_no_update BEFORE UPDATE ON successor BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER successor_no_delete BEFORE DELETE ON successor BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER successor_no_insert BEFORE INSERT ON successor WHEN EXISTS (SELECT 1 FROM successor) BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER transfer_no_update BEFORE UPDATE ON transfer BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER transfer_no_delete BEFORE DELETE ON transfer BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER transfer_no_insert BEFORE INSERT ON transfer WHEN EXISTS (SELECT 1 FROM transfer) BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
