"""A CSV file of any columns as a ClickHouse table: reads it, finds types that hold every value, compares what arrived.

    file ─► records ─┬─► column_types     a type only when text → value → the same value, for every row of the file
                     └─► first_difference each row's values against those of the table, in the order they were put

Fields are read as `coldpath put` reads them: blanks around an unquoted field do not count, an unquoted empty field is the
column's default (NULL if it may be), \\N is NULL, a quoted field may hold newlines. Only Python's standard library is used.
"""

import decimal
import gzip
import itertools
import re

INT64_MIN, INT64_MAX, UINT64_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
DECIMAL_DIGITS = 38  # of Decimal(P, S) at most, as `coldpath put` has it
DICTIONARY_MAX = 1000  # different values of a column, for LowCardinality
BATCH_ROWS = 10_000
RECORD_LINES = 1000  # of one record at most, as in coldpath put

EXACT = decimal.Context(prec=2000, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
INTEGER = re.compile(r"-?[1-9][0-9]*|0")
PLAIN = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+")
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
DIGIT_LIMIT = 400  # of a text that may be a number: what is longer is no number anyone calculates with
FIELD = re.compile(r'[ \t]*(?:"((?:[^"]|"")*)"[ \t]*|([^",]*))(,|$)', re.DOTALL)
ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "b": "\b", "f": "\f", "0": "\0", "\\": "\\", "'": "'"}


class Malformed(Exception):
    """The file is not CSV with a header."""


def open_text(path, encoding="utf-8-sig"):
    """Plain or gzip, whatever its name. Bytes that are not UTF-8 survive both ways; a byte order mark is skipped."""
    form = {"encoding": encoding, "errors": "surrogateescape", "newline": "\n"}
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt", **form) if packed else open(path, **form)


def split(text):
    """The fields of one record, or None where it is not well-formed. An unquoted empty field is None."""
    if '"' not in text:
        return [field.strip(" \t") or None for field in text.split(",")]
    fields, at = [], 0
    while True:
        match = FIELD.match(text, at)
        if not match:
            return None
        quoted, bare, separator = match.groups()
        fields.append(quoted.replace('""', '"') if quoted is not None else bare.rstrip(" \t") or None)
        if not separator:
            return fields
        at = match.end()


def records(path):
    """(line number, fields) of every record; blank lines are none. The first is the header."""
    with open_text(path) as file:
        lines = enumerate(file, 1)
        for number, line in lines:
            while line.count('"') % 2:
                _, more = next(lines, (0, None))
                if more is None or line.count("\n") > RECORD_LINES:
                    raise Malformed(f"{path}:{number}: a quote is opened here and never closed")
                line += more
            line = line.removesuffix("\n").removesuffix("\r")
            if not line.strip(" \t"):
                continue
            fields = split(line)
            if fields is None:
                raise Malformed(f'{path}:{number}: a quote in the wrong place; a field with quotes is written '
                                '"with ""quotes"""')
            yield number, fields


def header_of(path):
    number, header = next(records(path), (1, []))
    if not header or any(not column for column in header):
        raise Malformed(f"{path}: the first line has to name every column")
    if len(set(header)) < len(header):
        raise Malformed(f"{path}: the first line names a column twice")
    try:
        "".join(header).encode()
    except UnicodeEncodeError as error:
        raise Malformed(f"{path}:{number}: the names of the columns are not UTF-8") from error
    return header


# ---- types -----------------------------------------------------------------------------------------------------------


def survives_float(text):
    """True when the nearest Float64, written with the fewest digits that tell it from others, is the same number."""
    return EXACT.create_decimal(text) == EXACT.create_decimal(repr(float(text)))


class Column:
    """What the values of one column have in common, so far."""

    def __init__(self):
        self.some = self.empty = self.null = False
        self.integer = self.plain = self.float = True
        self.least = self.most = 0
        self.digits = self.scale = 0  # most in front of the point and behind it
        self.different = set()

    def take(self, values):
        for value in set(values):
            if value is None:
                self.empty = True
            elif value == "\\N":
                self.null = True
            else:
                self.some = True
                self.take_value(value)
                if len(self.different) <= DICTIONARY_MAX:
                    self.different.add(value)

    def take_value(self, text):
        if not (self.integer or self.plain or self.float):
            return
        whole = len(text) <= DIGIT_LIMIT and INTEGER.fullmatch(text)
        if whole:
            number = int(text)
            self.least, self.most = min(self.least, number), max(self.most, number)
            self.digits = max(self.digits, len(text.lstrip("-")))
        else:
            self.integer = False
            if len(text) <= DIGIT_LIMIT and PLAIN.fullmatch(text):
                front, back = text.lstrip("-").split(".")
                self.digits, self.scale = max(self.digits, len(front)), max(self.scale, len(back))
            else:
                self.plain = False
        if self.float and text not in ("nan", "inf", "-inf"):
            self.float = (text != "-0" and len(text) <= DIGIT_LIMIT and NUMBER.fullmatch(text) is not None and
                          survives_float(text))

    def type(self):
        kind = self.number_type() if self.some else None
        if kind:
            return f"Nullable({kind})" if self.empty or self.null else kind
        if self.null:
            return "Nullable(String)"
        return "LowCardinality(String)" if len(self.different) <= DICTIONARY_MAX else "String"

    def number_type(self):
        if self.integer and INT64_MIN <= self.least and self.most <= INT64_MAX:
            return "Int64"
        if self.integer and self.least >= 0 and self.most <= UINT64_MAX:
            return "UInt64"
        if self.float and not self.integer:
            return "Float64"
        if self.plain and self.digits + self.scale <= DECIMAL_DIGITS:
            return f"Decimal({self.digits + self.scale}, {self.scale})"
        return None


def column_types(path, header):
    """The ClickHouse type of every column, of which no value of the file loses anything."""
    columns = [Column() for _ in header]
    rows = (fields for _, fields in itertools.islice(records(path), 1, None) if len(fields) == len(header))
    while batch := list(itertools.islice(rows, BATCH_ROWS)):
        for column, values in zip(columns, zip(*batch)):
            column.take(values)
    return [column.type() for column in columns]


# ---- comparing -------------------------------------------------------------------------------------------------------


def unescape(text):
    """A field of ClickHouse's TSV; None for NULL."""
    if "\\" not in text:
        return text
    return None if text == "\\N" else re.sub(r"\\(.)", lambda match: ESCAPES.get(match[1], match[1]), text, flags=re.DOTALL)


def same_number(text):
    return None if text is None else EXACT.create_decimal(text).normalize(EXACT)


def same_float(text):
    return None if text is None else repr(float(text))


def reader_of(kind):
    """A function that gives two texts of one value of this type the same object, and only those."""
    if "Float64" in kind:
        return same_float
    return same_number if "Decimal" in kind else lambda text: text


def expected(field, nullable):
    """What the table should hold for a field, as text; None for NULL."""
    if field is None:
        return None if nullable else ""
    return None if field == "\\N" else field


def first_difference(path, header, types, stored):
    """Compares the file with the table's rows (lines of TSV, in the order they were put). A message about the first
    difference, or None."""
    readers = [reader_of(kind) for kind in types]
    nullable = [kind.startswith("Nullable") for kind in types]
    wanted = itertools.islice(records(path), 1, None)
    for record, line in itertools.zip_longest(wanted, stored):
        if record is None:
            return "the table holds rows that the file does not have"
        number, fields = record
        if line is None:
            return f"line {number} of the file is not in the table"
        values = [unescape(text) for text in line.removesuffix("\n").split("\t")]
        texts = [expected(field, may) for field, may in zip(fields, nullable)]
        if texts == values:
            continue
        for name, reader, text, value in zip(header, readers, texts, values):
            if text != value and (text is None or value is None or reader(text) != reader(value)):
                return f"line {number}, column {name}: the file has {text!r}, the table {value!r}"
    return None
