//! Any payload: one outcome whatever the path, and what is read of it is what the whole of it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use millrace_rules::json::Json;

fuzz_target!(|text: &str| {
    let mut places = Vec::new();
    if let Ok(json) = Json::scan(text, &mut places)
        && let Ok(value) = json.value(&[])
    {
        let written = value.to_json();
        let mut again = Vec::new();
        let same = Json::scan(&written, &mut again).expect("what was written is JSON").value(&[]).expect("finite numbers");
        assert!(value.same(&same), "{text} became {written}");
    }
});
