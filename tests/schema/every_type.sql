-- Every kind of column there is, with names that C does not take. Used by the tests of layout, values and row checks.
CREATE TABLE `every type`
(
    i8 Int8, u8 UInt8, i16 Int16, u16 UInt16, i32 Int32, u32 UInt32, i64 Int64, u64 UInt64,
    f32 Float32, f64 Float64, flag Bool,
    day Date, day32 Date32, at DateTime, at_berlin DateTime('Europe/Berlin'), at64 DateTime64(6, 'UTC'),
    at_ns DateTime64(9), at_s DateTime64(0, 'UTC'),
    text String, tag LowCardinality(String), maybe_tag LowCardinality(Nullable(String)), code FixedString(5),
    e8 Enum8('a' = -128, 'it''s' = 0, '2' = 3, 'z*/' = 127), e16 Enum16('low' = -32768, 'one' = 1, 'A' = 7, 'high' = 32767),
    id UUID, d9 Decimal(9, 4), d18 Decimal(18, 8), d38 Decimal(38, 10), d38_0 Decimal(38, 0), d9_9 Decimal(9, 9),
    v4 IPv4, v6 IPv6,
    n_i64 Nullable(Int64), n_text Nullable(String), n_flag Nullable(Bool), n_e8 Nullable(Enum8('x' = 1)), n_code Nullable(FixedString(3)),
    a_f32 Array(Float32), a_u64 Array(UInt64), a_text Array(String), a_flag Array(Bool), a_n Array(Nullable(Int32)),
    a_tag Array(LowCardinality(Nullable(String))), a_e8 Array(Enum8('x' = 1, 'y' = 2)), a_n_e16 Array(Nullable(Enum16('p' = 500))),
    a_d38 Array(Decimal(38, 2)), a_code Array(FixedString(3)), a_at Array(DateTime64(3, 'UTC')), a_id Array(UUID),
    `class` UInt8, `2nd` UInt16 COMMENT 'a comment with */ in it', `a-b` UInt8, `a_b` UInt32, `ü` Int8, `n i64` Int8, n_i64_is_null UInt8,
    _cp_epoch UInt64, _cp_slot UInt16, _cp_position UInt64
)
ENGINE = MergeTree ORDER BY tuple();
