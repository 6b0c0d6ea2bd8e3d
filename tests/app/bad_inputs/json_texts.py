"""What RFC 8259 makes of a text, and where Penstock is stricter: J44 of the list. The cases are written from its grammar,
class by class. Each becomes the value of a line's "metadata", which is accepted without effect; those that are whole
texts (WHOLE) stand as lines themselves."""

from harness import Line

# Section 3, 6: values and numbers.
VALUES = [b"null", b"true", b"false", b"0", b"-0", b"7", b"-7", b"10", b"120", b"0.0", b"-0.0", b"1.5", b"0.1e1", b"1e5", b"1E5",
          b"1e+5", b"1e-5", b"1E+05", b"1e0", b"0e0", b"-1.25e-10", b"123456789012345678901234567890", b"9007199254740993",
          b"18446744073709551615", b"18446744073709551616", b"-9223372036854775808", b"-9223372036854775809", b"1e308", b"5e-324",
          b"1e-400", b"0.1234567890123456789012345678901234567890", b"0" + b".0" * 1 + b"0" * 500]
# Section 4, 5: structures.
STRUCTURES = [b"[]", b"{}", b"[[]]", b"[{}]", b"[1]", b"[1,2]", b"[null,true,\"a\",{}]", b"{\"\":0}", b"{\"a\":{\"a\":{}}}", b"{\"a\":[],\"b\":[]}",
              b"{\"a\":1,\"A\":2}", b"{\"\\u0000\":1,\"\":2}", b"[" * 63 + b"]" * 63, b"{\"a\":" * 63 + b"1" + b"}" * 63,
              b" [ ] ", b"\t[\t1\t,\t2\t]\t", b" { \"a\" : 1 , \"b\" : 2 } ", b"\r[\r]\r", b"[" + b"1," * 5000 + b"1]"]
# Section 7: strings.
STRINGS = [b'""', b'" "', b'"a"', rb'"\""', rb'"\\"', rb'"\/"', rb'"\b\f\n\r\t"', rb'"\u0000"', rb'"\u001f"', rb'"\u0041"', rb'"\u00e9"',
           rb'"\uD83D\uDE00"', rb'"\ud83d\ude00"', rb'"\uFFFF"', rb'"\uFFFE"', rb'"\uDBFF\uDFFF"', rb'"\u2028\u2029"', b'"\x7f"', '"é"'.encode(),
           '"€"'.encode(), '"😀"'.encode(), '"\ufeff"'.encode(), '"\u2028"'.encode(), '"\uffff"'.encode(), '"\U0010ffff"'.encode(), rb'"\\u0041"',
           rb'"\\\\"', b'"/"', b"\"'\"", b'"' + b"a" * 10_000 + b'"']

BAD_NUMBERS = [b"01", b"-01", b"00", b"-", b"+1", b"--1", b"-+1", b"1.", b".1", b"-.1", b"1.e5", b"1e", b"1E", b"1e+", b"1e-", b"1ee5", b"1e5.5",
               b"1.2.3", b"1_000", b"1,000", b"0x10", b"0b1", b"0o7", b"1f", b"1n", b"1 000", b"NaN", b"nan", b"-NaN", b"Infinity", b"-Infinity", b"+Infinity",
               b"inf", b"1a", b"1-2", b"1+2", b"0e", b"0.e", b"- 1", "１".encode(), "−1".encode(), b"1e400", b"-1e400", b"1e99999999999", b"1" * 400]
BAD_WORDS = [b"nul", b"nulll", b"Null", b"NULL", b"True", b"TRUE", b"tru", b"truee", b"False", b"fals", b"undefined", b"None", b"nil", b"a", b"*", b"&",
             b"'a'", b"`a`", b"\\u0041", b"(1)", b"<null>", b"/**/", b"//", b"#1", b"null null", b"true,", b"@", b"$", b"^", b"\x7f", b"\x01"]
BAD_STRUCTURES = [b"[", b"]", b"{", b"}", b"[1", b"1]", b"[1,]", b"[,]", b"[,1]", b"[1,,2]", b"[1 2]", b"[1:2]", b"[1;2]", b"[}", b"{]", b"[1}", b"[[1]", b"[1]]", b"[\"a\"",
                  b"[\"a\",", b"[true", b"{\"a\"}", b"{\"a\":}", b"{\"a\":1,}", b"{,}", b"{\"a\",1}", b"{\"a\" 1}", b"{\"a\"=1}", b"{\"a\":1 \"b\":2}",
                  b"{\"a\":1;\"b\":2}", b"{\"a\"::1}", b"{:1}", b"{1:1}", b"{a:1}", b"{'a':1}", b"{null:1}", b"{[]:1}", b"{\"a\":1,,\"b\":2}", b"{\"a\":1,\"a\":1}",
                  b"{\"a\":1,\"\\u0061\":1}", b"{\"a\":{\"b\":0,\"b\":0}}", b"{\"a\":1}}", b"{{}}", b"[{]}", b"[1]x", b"{\"a\":1}#", b"{\"a\":1/**/}", b"[1//x", b"[/**/1]",
                  b"[...]", b"{\"a\":1 2}", b"[" * 64 + b"]" * 64, b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b"{\"a\":" * 100_000, b"[{\"a\":" * 50_000,
                  b"\x0c[]", b"\x0b[]", "\u00a0[]".encode(), "\u2028[]".encode(), "\ufeff[]".encode(), "\u3000[]".encode(), b"[\x85]", b"[\x00]", b"\x00"]
BAD_STRINGS = [b'"', b'"a', b'a"', b'"\\"', b'"\\', b'"a"b"', b'"a""', rb'"\a"', rb'"\0"', rb'"\1"', rb'"\x41"', rb'"\v"', rb"'\''", rb'"\e"', rb'"\U0041"', rb'"\ "',
               rb'"\u"', rb'"\u1"', rb'"\u12"', rb'"\u123"', rb'"\u123g"', rb'"\u 123"', rb'"\u+123"', rb'"\u{41}"', rb'"\ud800"', rb'"\udfff"', rb'"\udbff"', rb'"\udc00"',
               rb'"\ud800\ud800"', rb'"\ud800\n"', rb'"\ud800a"', rb'"\udc00\ud800"', rb'"\ud800\u"', rb'"\ud800\u0041"', rb'"\ud800', rb'"\ud800\"', b'"\t"', b'"\r"', b'"\x00"',
               b'"\x01"', b'"\x1f"', b'"\x08"', b'"\x80"', b'"\xbf"', b'"\xc0\x80"', b'"\xc0\xaf"', b'"\xc1\xbf"', b'"\xc3"', b'"\xc3("', b'"\xe0\x80\x80"', b'"\xe0\x9f\xbf"',
               b'"\xe2\x82"', b'"\xe2\x28\xa1"', b'"\xed\xa0\x80"', b'"\xed\xbf\xbf"', b'"\xed\xa0\xbd\xed\xb8\x80"', b'"\xf0\x80\x80\x80"', b'"\xf0\x8f\xbf\xbf"', b'"\xf0\x9f\x98"',
               b'"\xf4\x90\x80\x80"', b'"\xf5\x80\x80\x80"', b'"\xf8\x88\x80\x80\x80"', b'"\xfc\x84\x80\x80\x80\x80"', b'"\xfe"', b'"\xff"', b'"\xff\xfe"', b'"\xe9"', b'"\xa3"']
WHOLE = [b"[]", b"[1]", b'"text"', b"12", b"null", b"true", b"1e400", b"{", b"}", b"{bad", b"{}x", b"{}{}", b"{} {}", b"// comment", b"# comment", b"<html>", b"a,b,c", b"\x00", b"\xff\xfe{\x00}\x00",
         b"\xfe\xff\x00{\x00}", b"\xef\xbb\xbf{}", b"\x00\x00\x00{", b"[" * 100_000 + b"]" * 100_000, b"{\"id\":" * 100_000, b'{"prompt":"x"', b'{"prompt":"x"}}', b'{"prompt":"x",}',
         b'{"prompt":"x"}{"prompt":"y"}', b"{'prompt':'x'}", b'{prompt:"x"}', b'{"prompt":"x" "id":"y"}', b'{"prompt"}', b'{"prompt":}', b'\x1e{"prompt":"x"}', b'{"prompt":"x"},', b'{"prompt":"x"};',
         b'"prompt":"x"', b'{"prompt":"x"', b'[{"prompt":"x"}]', b'{"prompt":"x\x00y"}', b'data: {"prompt":"x"}', b"---", b"!!binary", b"\x1f\x8b\x08\x00"]


def shown(text):
    return repr(text if len(text) < 40 else text[:40] + b"...")[1:]


def metadata(text, code, *says):
    return Line(f"J44 metadata {shown(text)}", b'{"prompt":"a","max_tokens":1,"metadata":%s}' % text, code, says)


LINES = [
    *[metadata(text, None) for text in VALUES + STRUCTURES + STRINGS],
    *[metadata(text, "invalid_json", r"byte \d+") for text in BAD_NUMBERS + BAD_WORDS + BAD_STRUCTURES + BAD_STRINGS],
    Line("J16 100,000 arrays", b"[" * 100_000, "invalid_json", ("byte 64", "nested deeper")),
    *[Line(f"J17 the line {shown(text)}", text, "invalid_json") for text in WHOLE],
]
