pragma user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE blocks (
    first integer primary key, rows integer not null,
    earliest integer not null, latest integer not null, longest integer not null,
    kinds blob not null, attributes blob not null
);
INSERT INTO "blocks" VALUES(0,3,1795867201000000,1795867203000000,75000,X'01',X'01');
CREATE TABLE columns (id integer primary key, data blob not null);
INSERT INTO "columns" VALUES(0,X'405294EA546106008094A3EA54610600C0D6B2EA54610600');
INSERT INTO "columns" VALUES(1,X'A861000050C30000F8240100');
INSERT INTO "columns" VALUES(3,X'030000000300000003000000');
INSERT INTO "columns" VALUES(4,X'020000000200000002000000');
INSERT INTO "columns" VALUES(5,X'050000000500000005000000');
INSERT INTO "columns" VALUES(20,X'000000000000');
INSERT INTO "columns" VALUES(21,X'000000000000');
INSERT INTO "columns" VALUES(22,X'69642D310A69642D320A69642D33');
CREATE TABLE facts (name text primary key, value not null) without rowid;
INSERT INTO "facts" VALUES('batch',1);
INSERT INTO "facts" VALUES('indexed',0);
INSERT INTO "facts" VALUES('rows',3);
INSERT INTO "facts" VALUES('rows_before',0);
INSERT INTO "facts" VALUES('state','4df8052f-e038-462f-9aa8-4f098cd53bc1');
CREATE TABLE ids (entry integer primary key);
CREATE TABLE names (
    dictionary integer, number integer, value text not null, primary key (dictionary, number)
) without rowid;
INSERT INTO "names" VALUES(0,0,'["small", "", "", "chat", 200, "", false, false, "", "USD", "", "log"]');
INSERT INTO "names" VALUES(1,0,'{"team": "blue"}');
COMMIT;
