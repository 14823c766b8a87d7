//! Hashes, encodings, compression, identifiers, the environment: as tables.

use super::{config, evaluate, event, table, value};
use crate::{Input, Rules, Scratch, State};

#[test]
fn hashes_are_lower_case_digits() {
    const SHA: &str = "\"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d\"";
    const SHA256: &str = "\"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\"";
    table(
        br#"{"kind":"SHA256","none":"md6","i":1}"#,
        &[
            ("md5('hello')", "\"5d41402abc4b2a76b9719d911017c592\""),
            ("md5('')", "\"d41d8cd98f00b204e9800998ecf8427e\""),
            ("sha('hello')", SHA),
            ("sha256('hello')", SHA256),
            ("hash('md5', 'hello')", "\"5d41402abc4b2a76b9719d911017c592\""),
            ("hash('sha', 'hello')", SHA),
            ("hash('sha1', 'hello')", SHA),
            ("hash('sha224', 'hello')", "\"ea09ae9cc6768c50fcee903ed054556e5bfc8347907f12598aa24193\""),
            ("hash('sha256', 'hello')", SHA256),
            ("hash(payload.kind, 'hello')", SHA256),
            (
                "hash('sha384', 'hello')",
                "\"59e1748777448c69de6b800d7a33bbfb9ff1b463e44354c3553bcdb9c666fa90125a3c79f90397bdf5f6a13de828684f\"",
            ),
            (
                "hash('sha512', 'hello')",
                "\"9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d7c7acc6e14b8c5da\
             0c4663475c2e5c3adef46f73bcdec043\"",
            ),
            ("hash('md6', 'hello')", "R0115"),
            ("hash('md6', payload)", "R0115"),
            ("hash(payload.none, 'hello')", "R0313"),
            ("hash('md5')", "R0110"),
            ("md5(payload.i)", "R0306"),
            ("sha256(1)", "R0111"),
            ("sha()", "R0110"),
        ],
    );
    assert_eq!(value("md5(payload)", &[0xff, 0xfe]), "\"f3b25701fe362ec84616a93a45ce9998\"");
}

#[test]
fn base64_is_written_and_read() {
    table(
        br#"{"t":"not*base64","o":"loud","i":1}"#,
        &[
            ("base64_encode('hello')", "\"aGVsbG8=\""),
            ("base64_encode('')", "\"\""),
            ("base64_decode('aGVsbG8=')", "\"hello\""),
            ("base64_decode('aGVsbG8')", "\"hello\""),
            ("base64_decode('aGVs bG8=')", "\"hello\""),
            ("bin2hexstr(base64_decode('y0jN'))", "\"CB48CD\""),
            ("base64_encode(hexstr2bin('CB48CD'))", "\"y0jN\""),
            ("bin2hexstr(base64_decode('n05Y'))", "\"9F4E58\""),
            ("base64_encode('hello', 'no_padding')", "\"aGVsbG8\""),
            ("base64_encode(hexstr2bin('FBFF'))", "\"+/8=\""),
            ("base64_encode(hexstr2bin('FBFF'), 'urlsafe')", "\"-_8=\""),
            ("base64_encode(hexstr2bin('FBFF'), 'no_padding', 'urlsafe')", "\"-_8\""),
            ("base64_encode(hexstr2bin('FBFF'), 'urlsafe', 'no_padding')", "\"-_8\""),
            ("bin2hexstr(base64_decode('-_8', 'urlsafe', 'no_padding'))", "\"FBFF\""),
            ("bin2hexstr(base64_decode('-_8=', 'urlsafe'))", "\"FBFF\""),
            ("base64_decode('-_8=')", "R0114"),
            ("base64_decode('aGVsbG8=', 'no_padding')", "R0114"),
            ("base64_decode(payload.t)", "R0307"),
            ("base64_encode('a', 'loud')", "R0115"),
            ("base64_encode('a', payload.o)", "R0313"),
            ("base64_decode(payload.t, 'loud')", "R0115"),
            ("base64_encode(payload.i)", "R0306"),
            ("base64_decode(1)", "R0111"),
            ("base64_encode()", "R0110"),
        ],
    );
}

#[test]
fn json_is_written_and_read() {
    table(
        br#"{"m":{"a":[1,2.5,null,"x\n"]},"t":"no json"}"#,
        &[
            ("json_encode(payload.m)", r#""{\"a\":[1,2.5,null,\"x\\n\"]}""#),
            ("json_encode('a')", r#""\"a\"""#),
            ("json_encode(null)", r#""null""#),
            ("json_encode(1.0)", r#""1.0""#),
            ("json_decode('[1, 2.0, {\"a\": null}]')", r#"[1,2.0,{"a":null}]"#),
            ("json_decode('7')", "7"),
            ("json_decode(json_encode(payload.m))", r#"{"a":[1,2.5,null,"x\n"]}"#),
            ("json_decode(payload.t)", "R0307"),
            ("json_decode('{')", "R0114"),
            ("json_decode(1)", "R0111"),
            ("json_decode(payload.m)", "R0306"),
            ("json_encode()", "R0110"),
        ],
    );
    assert_eq!(value("json_decode(payload)", "[".repeat(100_000).as_bytes()), "R0307");
}

#[test]
fn compressed_bytes_come_back() {
    table(
        br#"{"t":"no archive","i":1}"#,
        &[
            ("bin2hexstr(zip('hello world'))", "\"CB48CDC9C95728CF2FCA490100\""),
            ("bin2hexstr(zip('hello'))", "\"CB48CDC9C90700\""),
            ("bin2hexstr(zip_compress('hello'))", "\"789CCB48CDC9C90700062C0215\""),
            ("bin2hexstr(gzip('hello'))", "\"1F8B0800000000000003CB48CDC9C9070086A6103605000000\""),
            ("unzip(hexstr2bin('CB48CDC9C90700'))", "\"hello\""),
            ("zip_uncompress(hexstr2bin('789CCB48CDC9C90700062C0215'))", "\"hello\""),
            ("gunzip(hexstr2bin('1F8B0800000000000013CB48CDC9C9070086A6103605000000'))", "\"hello\""),
            ("gunzip(gzip(''))", "\"\""),
            ("unzip(zip(payload.t))", "\"no archive\""),
            ("zip_uncompress(zip_compress(payload.t))", "\"no archive\""),
            ("gunzip(payload.t)", "R0313"),
            ("unzip(payload.t)", "R0313"),
            ("zip_uncompress(payload.t)", "R0313"),
            ("gunzip(zip('hello'))", "R0313"),
            ("gunzip(hexstr2bin('1F8B0800000000000013CB48CDC9C9'))", "R0313"),
            ("zip_uncompress(hexstr2bin('789CCB48CDC9C90700062C0216'))", "R0313"),
            ("gzip(payload.i)", "R0306"),
            ("unzip(1)", "R0111"),
            ("gunzip()", "R0110"),
        ],
    );
}

#[test]
fn a_small_archive_of_much_is_refused_before_it_fills_memory() {
    let zeros = vec![0_u8; 2 << 20];
    let payload = zeros.as_slice();
    assert_eq!(value("md5(gunzip(gzip(payload)))", payload), value("md5(payload)", payload));
    for (pack, unpack) in
        [(pack_gzip as fn(&[u8]) -> Vec<u8>, "gunzip"), (pack_raw, "unzip"), (pack_zlib, "zip_uncompress")]
    {
        let bomb = pack(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100_000);
        let code = value(&format!("md5({unpack}(payload))"), &bomb);
        assert!(matches!(code.as_str(), "R0308" | "R0309"), "{unpack} {code}");
    }
    assert_eq!(value("md5(gzip(payload))", &vec![0; 5 << 20]), "R0309");
}

fn pack_gzip(data: &[u8]) -> Vec<u8> {
    packed(flate2::bufread::GzEncoder::new(data, flate2::Compression::best()))
}

fn pack_raw(data: &[u8]) -> Vec<u8> {
    packed(flate2::bufread::DeflateEncoder::new(data, flate2::Compression::best()))
}

fn pack_zlib(data: &[u8]) -> Vec<u8> {
    packed(flate2::bufread::ZlibEncoder::new(data, flate2::Compression::best()))
}

fn packed(mut encoder: impl std::io::Read) -> Vec<u8> {
    let mut packed = Vec::new();
    encoder.read_to_end(&mut packed).expect("from memory to memory");
    packed
}

#[test]
fn identifiers_follow_from_the_seed_and_are_of_version_4() {
    let made = |expression: &str, seed: u64| {
        let mut rules =
            Rules::compile(&[("r", config(&format!("SELECT {expression} AS v FROM \"t/#\"")))]).expect("good");
        let mut scratch = Scratch::with_state(State::seeded(seed));
        let input = Input::publish(event("t/a", b""), &mut scratch);
        let first = evaluate(&mut rules, &input);
        (first[6..first.len() - 2].to_owned(), evaluate(&mut rules, &input))
    };
    let (uuid, row) = made("uuid_v4()", 7);
    assert_eq!(made("uuid_v4()", 7).0, uuid);
    assert_ne!(made("uuid_v4()", 8).0, uuid);
    assert!(!row.contains(&uuid), "each call makes another");
    let parts: Vec<_> = uuid.split('-').collect();
    assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    assert!(parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']), "{uuid}");
    assert_eq!(made("uuid_v4_no_hyphen()", 7).0, uuid.replace('-', ""));
    assert_eq!(value("uuid_v4(1)", b""), "R0110");
}

#[test]
fn a_variable_that_is_not_there_is_empty() {
    table(
        br#"{"i":1}"#,
        &[
            ("getenv('NO_SUCH_VARIABLE')", "\"\""),
            ("getenv('')", "\"\""),
            ("getenv(1)", "R0111"),
            ("getenv(payload.i)", "R0306"),
            ("getenv()", "R0110"),
        ],
    );
}
