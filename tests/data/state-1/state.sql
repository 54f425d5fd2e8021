pragma user_version = 0;
BEGIN TRANSACTION;
CREATE TABLE buckets (instrument text primary key, bounds text not null) without rowid;
INSERT INTO "buckets" VALUES('gen_ai.client.token.usage','[1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0, 16777216.0, 67108864.0]');
INSERT INTO "buckets" VALUES('gen_ai.server.request.duration','[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68, 655.36]');
INSERT INTO "buckets" VALUES('gen_ai.server.time_per_output_token','[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5]');
INSERT INTO "buckets" VALUES('gen_ai.server.time_to_first_token','[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 30.0, 60.0, 120.0]');
INSERT INTO "buckets" VALUES('llm_gateway.overhead.duration','[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 30.0, 60.0, 120.0]');
CREATE TABLE facts (name text primary key, value text not null) without rowid;
INSERT INTO "facts" VALUES('batch','1');
INSERT INTO "facts" VALUES('created','1795881773.5658994');
INSERT INTO "facts" VALUES('instance_id','4df8052f-e038-462f-9aa8-4f098cd53bc1');
INSERT INTO "facts" VALUES('replaced_corrupt','0');
INSERT INTO "facts" VALUES('schema','1');
CREATE TABLE positions (
    source text, key text, value blob not null, primary key (source, key)
) without rowid;
INSERT INTO "positions" VALUES('log','0000000001',X'DC00130101BB2F746D702F676174657761792F72657175657374732E6A736F6E6CBB2F746D702F676174657761792F72657175657374732E6A736F6E6CCB41DAC2BECB67114ECDFE00CE002102F7C2CF18EC40F4B8BCB618CB41DAC2BECB67189FCD020693CD0206CD0206C4081451A9BD442FD73793CD0206CD0206C4081451A9BD442FD7379193CD0159CD0159C408B2EB153A1C87CEEEC2C2C20080');
INSERT INTO "positions" VALUES('log','started',X'01');
CREATE TABLE series (
    id integer primary key, instrument text not null, labels text not null, created real not null
);
INSERT INTO "series" VALUES(1,'llm_gateway.requests','{"gen_ai.request.model":"small","gen_ai.provider.name":"unknown","gen_ai.operation.name":"chat","team":"blue","http.response.status_code":"200"}',1.79588177361470675472e+09);
INSERT INTO "series" VALUES(2,'llm_gateway.tokens','{"gen_ai.request.model":"small","gen_ai.provider.name":"unknown","gen_ai.operation.name":"chat","team":"blue","gen_ai.token.type":"input"}',1.79588177361471915249e+09);
INSERT INTO "series" VALUES(3,'llm_gateway.tokens','{"gen_ai.request.model":"small","gen_ai.provider.name":"unknown","gen_ai.operation.name":"chat","team":"blue","gen_ai.token.type":"output"}',1.79588177361472368237e+09);
INSERT INTO "series" VALUES(4,'llm_gateway.requests_without_usage','{"gen_ai.request.model":"small","gen_ai.provider.name":"unknown","gen_ai.operation.name":"chat","team":"blue"}',1.79588177361472940444e+09);
INSERT INTO "series" VALUES(5,'llm_gateway.content_filtered','{"gen_ai.request.model":"small","gen_ai.provider.name":"unknown","gen_ai.operation.name":"chat","team":"blue"}',1.7958817736147332191e+09);
INSERT INTO "series" VALUES(6,'llm_gateway.cached_input_tokens','{"gen_ai.request.model":"small","gen_ai.provider.name":"unknown","gen_ai.operation.name":"chat","team":"blue"}',1.79588177361473703389e+09);
INSERT INTO "series" VALUES(7,'gen_ai.server.request.duration','{"gen_ai.request.model":"small","gen_ai.provider.name":"unknown","gen_ai.operation.name":"chat","team":"blue"}',1.79588177361474633213e+09);
INSERT INTO "series" VALUES(8,'gen_ai.client.token.usage','{"gen_ai.request.model":"small","gen_ai.provider.name":"unknown","gen_ai.operation.name":"chat","team":"blue","gen_ai.token.type":"input"}',1.79588177361497902868e+09);
INSERT INTO "series" VALUES(9,'gen_ai.client.token.usage','{"gen_ai.request.model":"small","gen_ai.provider.name":"unknown","gen_ai.operation.name":"chat","team":"blue","gen_ai.token.type":"output"}',1.79588177361503863334e+09);
INSERT INTO "series" VALUES(10,'llm_gateway.usage','{"gen_ai.request.model":"small","gen_ai.provider.name":"unknown","gen_ai.operation.name":"chat","team":"blue","unit":"token","modality":"text"}',1795881773.61543);
CREATE TABLE totals (id integer primary key, value blob not null);
INSERT INTO "totals" VALUES(1,X'0000000000000840');
INSERT INTO "totals" VALUES(2,X'0000000000002240');
INSERT INTO "totals" VALUES(3,X'0000000000001840');
INSERT INTO "totals" VALUES(4,X'0000000000000000');
INSERT INTO "totals" VALUES(5,X'0000000000000000');
INSERT INTO "totals" VALUES(6,X'0000000000000000');
INSERT INTO "totals" VALUES(7,X'00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000F03F000000000000F03F000000000000F03F0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000F83F');
INSERT INTO "totals" VALUES(8,X'0000000000000000000000000000084000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000002240');
INSERT INTO "totals" VALUES(9,X'0000000000000000000000000000084000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001840');
INSERT INTO "totals" VALUES(10,X'0000000000002E40');
COMMIT;
