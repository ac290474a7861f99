PRAGMA application_id = 1515483697;
PRAGMA user_version = 3;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE accounts (
	id           INTEGER PRIMARY KEY AUTOINCREMENT,
	account_name TEXT NOT NULL
) STRICT;
INSERT INTO accounts VALUES(1,'default');
CREATE TABLE account_users (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	account_id INTEGER NOT NULL REFERENCES accounts (id),
	username   TEXT NOT NULL COLLATE NOCASE UNIQUE
) STRICT;
INSERT INTO account_users VALUES(1,1,'owner');
CREATE TABLE unfinished (
	project_id INTEGER PRIMARY KEY AUTOINCREMENT
) STRICT;
CREATE TABLE projects (
	id           INTEGER PRIMARY KEY,
	account_id   INTEGER NOT NULL REFERENCES accounts (id),
	project_slug TEXT NOT NULL UNIQUE,
	project_name TEXT NOT NULL,
	source       TEXT,
	created_at   TEXT NOT NULL,
	updated_at   TEXT NOT NULL
, made_by_project INTEGER, max_bytes INTEGER) STRICT;
INSERT INTO projects VALUES(1,1,'example_project','Example',NULL,'2026-12-01T02:39:18Z','2026-12-01T02:39:18Z',NULL,NULL);
CREATE TABLE project_users (
	id            INTEGER PRIMARY KEY AUTOINCREMENT,
	project_id    INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
	username      TEXT NOT NULL COLLATE NOCASE,
	password_hash TEXT NOT NULL,
	role          TEXT NOT NULL,
	created_at    TEXT NOT NULL,
	UNIQUE (project_id, username)
) STRICT;
INSERT INTO project_users VALUES(1,1,'vera','$argon2id$v=19$m=19456,t=2,p=1$xOGFdgp0jhkD7Ez7shNV4g$RVY1VQncTRGsM1GFpiHKv30yx2Nm5NrH03xdrG+xPJo','editor','2026-12-01T02:39:19Z');
CREATE TABLE tokens (
	id              INTEGER PRIMARY KEY AUTOINCREMENT,
	project_id      INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
	account_user_id INTEGER NOT NULL REFERENCES account_users (id),
	project_user_id INTEGER REFERENCES project_users (id) ON DELETE CASCADE,
	token_name      TEXT NOT NULL,
	hash            BLOB NOT NULL UNIQUE,
	scopes          TEXT NOT NULL,
	created_at      TEXT NOT NULL,
	expires_at      TEXT,
	revoked_at      TEXT,
	last_used_at    TEXT
) STRICT;
INSERT INTO tokens VALUES(1,1,1,NULL,'first',X'9000b3ce31d17ba052264d36bb1c9afa36893f708a156045c0310af54c7737a7','project:admin','2026-12-01T02:39:18Z',NULL,NULL,'2026-12-01T02:39:19Z');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('accounts',1);
INSERT INTO sqlite_sequence VALUES('account_users',1);
INSERT INTO sqlite_sequence VALUES('unfinished',1);
INSERT INTO sqlite_sequence VALUES('tokens',1);
INSERT INTO sqlite_sequence VALUES('project_users',1);
CREATE INDEX projects_source ON projects (source);
CREATE INDEX tokens_project ON tokens (project_id);
CREATE INDEX tokens_project_user ON tokens (project_user_id);
COMMIT;
