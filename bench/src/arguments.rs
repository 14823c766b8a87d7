//! What was typed after the name of a program: `--name value`, `--switch` and words.

use std::str::FromStr;

/// Takes arguments out one kind after the other; what is left at the end is a mistake.
#[derive(Debug)]
pub struct Arguments(Vec<String>);

impl Arguments {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    /// Whether `--help` is among them.
    #[must_use]
    pub fn ask_for_help(&self) -> bool {
        self.0.iter().any(|argument| argument == "--help" || argument == "-h")
    }

    /// Takes a switch.
    pub fn switch(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|argument| argument != name);
        self.0.len() < before
    }

    /// Takes an option with its value.
    ///
    /// # Errors
    /// The value is missing or is none.
    pub fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        let Some(at) = self.0.iter().position(|argument| argument == name) else { return Ok(None) };
        self.0.remove(at);
        if at == self.0.len() {
            return Err(format!("{name} needs a value"));
        }
        let value = self.0.remove(at);
        value.parse().map(Some).map_err(|_| format!("{name} cannot be {value:?}"))
    }

    /// Takes an option whose value is a number with perhaps a `k` or `m` behind it.
    ///
    /// # Errors
    /// The value is missing or is none.
    pub fn count(&mut self, name: &str) -> Result<Option<u64>, String> {
        let Some(text) = self.value::<String>(name)? else { return Ok(None) };
        let (digits, factor) = match text.to_ascii_lowercase().as_str() {
            text if text.ends_with('k') => (text.trim_end_matches('k').to_owned(), 1_000),
            text if text.ends_with('m') => (text.trim_end_matches('m').to_owned(), 1_000_000),
            text => (text.to_owned(), 1),
        };
        let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        number.map(Some).ok_or_else(|| format!("{name} cannot be {text:?}: such as 200, 50k or 1m"))
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// Something is.
    pub fn end(self) -> Result<(), String> {
        self.0.first().map_or(Ok(()), |argument| Err(format!("unknown argument {argument}; --help names all")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(text: &str) -> Arguments {
        Arguments(text.split(' ').map(str::to_owned).collect())
    }

    #[test]
    fn options_take_units_and_leave_nothing_unknown() {
        let mut given = arguments("--connections 50k --keep --rate 1000 --million 1m");
        assert_eq!(given.count("--connections"), Ok(Some(50_000)));
        assert_eq!(given.count("--million"), Ok(Some(1_000_000)));
        assert_eq!((given.count("--rate"), given.count("--other")), (Ok(Some(1000)), Ok(None)));
        assert!(given.switch("--keep") && !given.switch("--keep"));
        assert_eq!(given.end(), Ok(()));
        assert!(arguments("--what").end().is_err());
        assert!(arguments("--connections many").count("--connections").is_err());
        assert!(arguments("--connections").count("--connections").is_err());
    }
}
