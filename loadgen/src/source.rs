//! The words of which a scenario is made: what was typed, and the text of the file that was named. They can be sent to
//! another machine, where the same program understands them in the same way.

use serde_json::{Value, json};

use crate::cli::{self, Scenario};
use crate::file;
use crate::files::Files;

/// See the head of this file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Source {
    /// The scenario and its options, or those typed behind a file.
    words: Vec<String>,
    /// Name and text of the file.
    file: Option<(String, String)>,
    scale: Option<f64>,
}

impl Source {
    /// A scenario as it was typed.
    pub(crate) fn typed(words: Vec<String>) -> Self {
        Self { words, file: None, scale: None }
    }

    /// A file, and what was typed behind it.
    pub(crate) fn file(name: &str, text: &str, mut words: Vec<String>) -> Result<Self, String> {
        let scale = crate::mix::take_scale(&mut words)?;
        Ok(Self { words, file: Some((name.to_owned(), text.to_owned())), scale })
    }

    pub(crate) fn scenario(&self, files: &Files) -> Result<Scenario, String> {
        let mut scenario = match &self.file {
            Some((name, text)) => file::read(name, text, &self.words, files)?,
            None => cli::scenario_of(&self.words)?,
        };
        if let Some(scale) = self.scale {
            scenario.scale(scale);
        }
        Ok(scenario)
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "words": self.words, "file": self.file, "scale": self.scale })
    }

    pub(crate) fn from_json(value: &Value) -> Result<Self, String> {
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or("garbled words");
        let words = value["words"].as_array().ok_or("garbled words")?.iter().map(text).collect::<Result<_, _>>()?;
        let file = match &value["file"] {
            Value::Null => None,
            file => Some((text(&file[0])?, text(&file[1])?)),
        };
        Ok(Self { words, file, scale: value["scale"].as_f64() })
    }
}
