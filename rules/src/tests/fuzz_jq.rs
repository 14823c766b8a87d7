//! No jq program, whatever its shape, makes the evaluation panic, stall or run out of stack.

use std::time::{Duration, Instant};

use super::fuzz::Random;
use super::value;

const LEAVES: [&str; 34] = [
    ".", "..", ".a", ".a?", ".[]", ".[]?", ".[0]", ".[-1]", ".[1:]", ".[:2]?", "1", "-1", "2.5", "1e300", "\"a\"",
    "[]", "{}", "null", "true", "empty", "$x", "f", "g", "nan", "error", "error?", "keys?", "length?", "tojson",
    "tostring", "add?", "sort?", "type", "[.]",
];

const SHAPES: [&str; 66] = [
    "@ | @",
    "@ | @",
    "@, @",
    "@, @",
    "(@)",
    "[@]",
    "{a: @}",
    "{(@ | tostring): @}",
    "@ + @",
    "@ - @",
    "@ * @",
    "@ / @",
    "@ % @",
    "@ == @",
    "@ < @",
    "@ and @",
    "@ or @",
    "@ // @",
    "(@)?",
    "try (@) catch (@)",
    "if @ then @ else @ end",
    "if @ then @ end",
    "(@) as $x | @",
    "(@) as [$x, {a: $x}] | @",
    "reduce (@) as $x (@; @)",
    "foreach (@) as $x (@; @)",
    "foreach (@) as $x (@; @; @)",
    "label $out | @, break $out, @",
    "def f: @; @",
    "def g: @; @",
    "def f: @; def g: @; @",
    "def h(f): @; h(@)",
    "def h(f; g): @; h(@; @)",
    "def h($x): @; h(@)",
    "(@) |= @",
    "(@) = @",
    "(@) += @",
    "(@) //= @",
    "del(@)",
    "path(@)",
    "[paths(@)]",
    "limit(3; @)",
    "first(@)",
    "last(@)",
    "skip(2; @)",
    "range(@)",
    "range(@; @; @)",
    "repeat(@)",
    "recurse(@)",
    "while(@; @)",
    "until(@; @)",
    "map(@)?",
    "map_values(@)?",
    "walk(@)",
    "select(@)",
    "sort_by(@)?",
    "group_by(@)?",
    "with_entries(@)?",
    "getpath(@)?",
    "any(@; @)",
    "all(@; @)",
    "\"\\(@) \\(@)\"",
    ".[@]?",
    ".[@:@]?",
    "[limit(5; @)] | join(\"-\")?",
    "-(@)",
];

fn program(random: &mut Random, depth: usize, out: &mut String) {
    if depth == 0 || out.len() > 3000 || random.below(6) == 0 {
        out.push_str(random.pick(&LEAVES));
        return;
    }
    let shape = random.pick(&SHAPES);
    out.push('(');
    for (at, piece) in shape.split('@').enumerate() {
        if at > 0 {
            program(random, depth - 1, out);
        }
        out.push_str(piece);
    }
    out.push(')');
}

#[test]
fn programs_of_any_shape_end_soon() {
    const PROGRAMS: u64 = 150;
    for seed in 0..PROGRAMS {
        let mut random = Random(seed);
        let mut text = String::from("def f: .; def g: .[]?; 0 as $x | ");
        let depth = 2 + random.below(6);
        program(&mut random, depth, &mut text);
        let start = Instant::now();
        let got = value(&format!("jq('{text}', payload)"), br#"{"a":[1,{"a":"x"},null],"b":2.5}"#);
        let took = start.elapsed();
        assert!(got.starts_with('[') || got.starts_with('R'), "seed {seed}: {text}: {got}");
        assert!(took < Duration::from_secs(20), "seed {seed} took {took:?}: {text}");
    }
}

#[test]
fn text_that_is_no_program_is_refused() {
    for text in [
        "(",
        ")",
        "[",
        "\"",
        "\"\\(",
        "\"\\u12\"",
        "@",
        "$",
        ".[",
        "if",
        "def",
        "def f",
        "reduce",
        "try",
        "..a",
        "1e",
        "::",
        "a::b",
        "{a:}",
        "#",
    ] {
        assert_eq!(value(&format!("jq('{text}', payload)"), b"1"), "R0115", "{text}");
    }
    for (piece, times) in [
        ("(", 900),
        ("[", 900),
        ("{a:", 900),
        ("-", 5000),
        ("try ", 3000),
        ("1+", 3000),
        (".|", 3000),
        ("def f: ", 900),
        ("if 1 then ", 3000),
        (". as $x|", 1500),
        ("\"\\(", 900),
        ("1,", 3000),
        ("reduce ", 2000),
        ("label $x|", 1800),
        (".a", 8000),
        ("[.", 1000),
    ] {
        let got = value(&format!("jq('{}1', payload)", piece.repeat(times)), b"1");
        assert!(got.starts_with('R'), "{piece}: {got}");
    }
    let wide = |piece: &str, times: usize| format!("jq('[{}1] | length', payload)", piece.repeat(times));
    assert_eq!(value(&wide("1,", 50), b"1"), "[51]");
    assert_eq!(value(&format!("jq('{}', payload)", vec!["."; 50].join("|")), b"7"), "[7]");
    let members: Vec<_> = (0..80).map(|at| format!("k{at}: {at}")).collect();
    assert_eq!(value(&format!("jq('{{{}}} | length', payload)", members.join(", ")), b"7"), "[80]");
}
