-- A ledger as migration 0003_numbered_instances left it: sqlite3's own dump. Never edited.
PRAGMA application_id = 1128811591;
BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'challenge-controller.ledger','0001_tables','2026-11-23 18:39:31.589137+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'challenge-controller.ledger','0002_is_finalized','2026-11-23 18:39:31.594823+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'challenge-controller.ledger','0003_numbered_instances','2026-11-24 06:03:13.253185+00:00');
CREATE TABLE instances (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE CHECK (uid <> ''),
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    challenge TEXT,
    port_count INTEGER NOT NULL CHECK (port_count >= 0),
    is_finalized INTEGER NOT NULL DEFAULT 0 CHECK (is_finalized IN (0, 1)),
    created INTEGER NOT NULL,
    attempt_started INTEGER,
    expires INTEGER
) STRICT
;
INSERT INTO "instances" VALUES(1,'a','ns','a','web',2,0,1,2,99);
INSERT INTO "instances" VALUES(2,'b','ns','b','web',1,1,1,2,99);
CREATE TABLE meta (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID
;
INSERT INTO "meta" VALUES('engine_id','OLD');
INSERT INTO "meta" VALUES('ports','[[10000, 10009]]');
INSERT INTO "meta" VALUES('schema_version','3');
CREATE TABLE ports (
    port INTEGER PRIMARY KEY CHECK (port BETWEEN 1 AND 65535),
    turn INTEGER NOT NULL,
    instance INTEGER REFERENCES instances (id),
    slot TEXT REFERENCES slots (slot) ON DELETE SET NULL,
    name TEXT,
    confirmed INTEGER,
    quarantine TEXT,
    quarantine_until INTEGER,
    in_range INTEGER NOT NULL DEFAULT 1 CHECK (in_range IN (0, 1)),
    state TEXT GENERATED ALWAYS AS (
        CASE WHEN quarantine IS NOT NULL THEN 'quarantined'
             WHEN instance IS NULL AND slot IS NULL THEN 'free'
             WHEN confirmed IS NULL THEN 'reserved'
             ELSE 'confirmed' END) VIRTUAL,
    CHECK ((name IS NULL) = (instance IS NULL AND slot IS NULL)),
    CHECK (confirmed IS NULL OR instance IS NOT NULL),
    CHECK (quarantine_until IS NULL OR quarantine IS NOT NULL)
) STRICT
;
INSERT INTO "ports" VALUES(10000,3,NULL,NULL,NULL,NULL,NULL,NULL,1);
INSERT INTO "ports" VALUES(10001,9,2,NULL,'http',3,NULL,NULL,1);
INSERT INTO "ports" VALUES(10002,1,NULL,NULL,NULL,NULL,NULL,NULL,1);
INSERT INTO "ports" VALUES(10003,7,NULL,NULL,NULL,NULL,NULL,NULL,1);
INSERT INTO "ports" VALUES(10004,4,1,NULL,'http',3,NULL,NULL,1);
INSERT INTO "ports" VALUES(10005,2,NULL,NULL,NULL,NULL,NULL,NULL,1);
INSERT INTO "ports" VALUES(10006,10,NULL,NULL,NULL,NULL,NULL,NULL,1);
INSERT INTO "ports" VALUES(10007,8,1,NULL,'nc',3,NULL,NULL,1);
INSERT INTO "ports" VALUES(10008,5,NULL,NULL,NULL,NULL,NULL,NULL,1);
INSERT INTO "ports" VALUES(10009,6,NULL,NULL,NULL,NULL,'sshd',500,1);
CREATE TABLE slots (
    slot TEXT NOT NULL PRIMARY KEY CHECK (slot <> ''),
    namespace TEXT NOT NULL,
    challenge TEXT NOT NULL,
    template TEXT NOT NULL,
    port_count INTEGER NOT NULL CHECK (port_count >= 0),
    instance INTEGER REFERENCES instances (id) ON DELETE CASCADE,
    created INTEGER NOT NULL,
    claimed INTEGER,
    CHECK ((instance IS NULL) = (claimed IS NULL))
) STRICT, WITHOUT ROWID
;
CREATE TABLE subnet_pools (
    pool TEXT NOT NULL PRIMARY KEY,
    next INTEGER NOT NULL
) STRICT, WITHOUT ROWID
;
CREATE TABLE subnets (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL CHECK (last >= first),
    owner TEXT NOT NULL CHECK (owner <> ''),
    pool TEXT NOT NULL,
    allocated INTEGER NOT NULL,
    UNIQUE (owner, pool)
) STRICT
;
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX ports_free ON ports (turn) WHERE instance IS NULL AND slot IS NULL AND quarantine IS NULL;
CREATE UNIQUE INDEX ports_by_instance ON ports (instance, name) WHERE instance IS NOT NULL;
CREATE INDEX ports_by_slot ON ports (slot, name) WHERE slot IS NOT NULL;
CREATE INDEX ports_quarantined ON ports (quarantine_until) WHERE quarantine IS NOT NULL;
CREATE INDEX ports_outside ON ports (port) WHERE in_range = 0;
CREATE INDEX instances_by_challenge ON instances (challenge) WHERE challenge IS NOT NULL;
CREATE INDEX instances_by_expiry ON instances (expires) WHERE expires IS NOT NULL;
CREATE UNIQUE INDEX slots_by_instance ON slots (instance) WHERE instance IS NOT NULL;
CREATE INDEX slots_warm ON slots (namespace, challenge, template, created) WHERE instance IS NULL;
CREATE INDEX instances_unfinalized ON instances (attempt_started) WHERE is_finalized = 0 AND attempt_started IS NOT NULL;
COMMIT;
