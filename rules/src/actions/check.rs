//! Checks the actions of a rule while it is saved: everything that can be known before a row is there.

use std::fmt;

use millrace_core::template::{Template, TemplateError};
use millrace_core::topic::name::{TopicLimits, TopicName};
use millrace_core::value::Columns;

use super::republish::{PROPERTIES, Properties, Republish, UserFrom, ValueFrom, qos_of, retain_of};
use super::{Sinks, What, fallbacks};
use crate::config::{self, ActionConfig, Scalar, UserProperties};
use crate::diagnostics::{Diagnostic, Span, nearest};
use millrace_core::value::Value;

/// Actions of one rule.
const ACTIONS_MAX: usize = 32;
/// Fallbacks of one action.
const FALLBACKS_MAX: usize = 8;

/// What is wrong with one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionFault {
    /// Where in the rule's config, such as `actions[1].topic`.
    pub key: String,
    /// The text there, which the span of the diagnostic is in.
    pub text: String,
    /// What is wrong.
    pub diagnostic: Diagnostic,
}

impl fmt::Display for ActionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.render(&self.key, &self.text))
    }
}

/// Compiles actions and gathers what is wrong with them.
pub(super) struct Checker<'c> {
    columns: &'c [&'c Columns],
    /// Whether there may be other columns too.
    open: bool,
    faults: Vec<ActionFault>,
}

impl<'c> Checker<'c> {
    pub(super) const fn new(columns: &'c [&'c Columns], open: bool) -> Self {
        Self { columns, open, faults: Vec::new() }
    }

    pub(super) fn finish(self) -> Result<(), Vec<ActionFault>> {
        if self.faults.is_empty() { Ok(()) } else { Err(self.faults) }
    }

    fn fault(&mut self, key: &str, text: &str, diagnostic: Diagnostic) {
        self.faults.push(ActionFault { key: key.to_owned(), text: text.to_owned(), diagnostic });
    }

    fn whole(&mut self, key: &str, text: &str, code: &'static str, message: String, help: &str) {
        self.fault(key, text, Diagnostic::error(code, Span::new(0, text.len()), message).help(help));
    }

    pub(super) fn count(&mut self, actions: usize) {
        if actions > ACTIONS_MAX {
            let message = format!("{actions} actions are more than {ACTIONS_MAX}");
            self.whole("actions", "", "R0216", message, "write a second rule over the same messages");
        }
    }

    pub(super) fn count_fallbacks(&mut self, at: &str, count: usize) {
        if count > FALLBACKS_MAX {
            let message = format!("{count} fallbacks are more than {FALLBACKS_MAX}");
            self.whole(&format!("{at}.fallbacks"), "", "R0216", message, "leave out those that come last");
        }
    }

    pub(super) fn fallback(&mut self, at: &str, config: &ActionConfig, sinks: &mut Sinks) -> Option<What> {
        if !fallbacks(config).is_empty() {
            let help = "list them one after the other in the action itself: they are tried in order";
            self.whole(&format!("{at}.fallbacks"), "", "R0215", "a fallback has no fallbacks".to_owned(), help);
        }
        self.action(at, config, sinks)
    }

    pub(super) fn action(&mut self, at: &str, config: &ActionConfig, sinks: &mut Sinks) -> Option<What> {
        Some(match config {
            ActionConfig::Republish(republish) => What::Republish(Box::new(self.republish(at, republish)?)),
            ActionConfig::Sink { sink, .. } => What::Sink(sinks.place(sink)),
            ActionConfig::Console {} => What::Console,
            ActionConfig::DoNothing {} => What::Nothing,
        })
    }

    fn republish(&mut self, at: &str, config: &config::Republish) -> Option<Republish> {
        let topic = self.topic(&format!("{at}.topic"), &config.topic);
        let qos = self.qos(&format!("{at}.qos"), config.qos.as_ref());
        let retain = self.retain(&format!("{at}.retain"), config.retain.as_ref());
        let payload = self.payload(&format!("{at}.payload"), config.payload.as_deref());
        let properties = self.properties(&format!("{at}.properties"), config);
        let user = self.user_properties(&format!("{at}.user_properties"), config.user_properties.as_ref());
        let properties = Properties { listed: properties?, user: user? };
        Some(Republish { topic: topic?, qos: qos?, retain: retain?, payload: payload?, properties })
    }

    fn template(&mut self, key: &str, text: &str) -> Option<Template> {
        let read = Template::parse(text).and_then(|mut template| {
            let bound = template.bind(self.columns);
            if self.open { Ok(template) } else { bound.map(|()| template) }
        });
        match read {
            Ok(template) => Some(template),
            Err(TemplateError { code, span, message, help }) => {
                self.fault(key, text, Diagnostic::error(code, Span::new(span.start, span.end), message).help(help));
                None
            }
        }
    }

    fn topic(&mut self, key: &str, text: &str) -> Option<Template> {
        let template = self.template(key, text)?;
        let help = "write a Topic Name, as in \"alarms/${clientid}\"";
        let wrong = match template.constant() {
            Some(topic) => match TopicName::parse(topic, TopicLimits::PROTOCOL) {
                Err(error) => Some(error.to_string()),
                Ok(_) => belongs_to_the_broker(topic),
            },
            None => {
                let prefix = template.prefix();
                if template.literals().any(|text| text.contains(['+', '#', '\0'])) {
                    Some("a topic that is published to has no wildcard `+` or `#` and no U+0000".to_owned())
                } else if prefix.contains('/') {
                    belongs_to_the_broker(prefix)
                } else {
                    None
                }
            }
        };
        match wrong {
            Some(wrong) => {
                self.whole(key, text, "R0211", wrong, help);
                None
            }
            None => Some(template),
        }
    }

    fn qos(&mut self, key: &str, scalar: Option<&Scalar>) -> Option<Option<ValueFrom>> {
        let Some(scalar) = scalar else { return Some(None) };
        self.scalar(key, scalar, "R0212", "write 0, 1, 2 or a template such as \"${qos}\"", |value| {
            qos_of(value).map(|_| ()).ok_or_else(|| format!("{} is no QoS", value.to_json()))
        })
        .map(Some)
    }

    fn retain(&mut self, key: &str, scalar: Option<&Scalar>) -> Option<Option<ValueFrom>> {
        let Some(scalar) = scalar else { return Some(None) };
        self.scalar(key, scalar, "R0214", "write true, false or a template such as \"${flags.retain}\"", |value| {
            retain_of(value).map(|_| ()).ok_or_else(|| format!("{} is neither true nor false", value.to_json()))
        })
        .map(Some)
    }

    fn scalar(
        &mut self,
        key: &str,
        scalar: &Scalar,
        code: &'static str,
        help: &str,
        check: impl Fn(&Value<'_>) -> Result<(), String>,
    ) -> Option<ValueFrom> {
        let (value, text) = match scalar {
            Scalar::Bool(value) => (Value::Bool(*value), value.to_string()),
            Scalar::Int(value) => (Value::Int(*value), value.to_string()),
            Scalar::Template(text) => {
                let template = self.template(key, text)?;
                match template.constant() {
                    Some(constant) => (Value::Text(constant.to_owned().into()), text.clone()),
                    None => return Some(ValueFrom::Template(template)),
                }
            }
        };
        match check(&value) {
            Ok(()) => Some(ValueFrom::Constant(value)),
            Err(wrong) => {
                self.whole(key, &text, code, wrong, help);
                None
            }
        }
    }

    /// Without one it is the column `payload`, or the whole row if there is none; an empty one is the whole row.
    fn payload(&mut self, key: &str, text: Option<&str>) -> Option<Template> {
        match text {
            Some("") => Some(Template::whole_row()),
            Some(text) => self.template(key, text),
            None if self.columns.iter().any(|columns| columns.names().iter().any(|name| **name == *"payload")) => {
                self.template(key, "${payload}")
            }
            None => Some(Template::whole_row()),
        }
    }

    fn properties(&mut self, key: &str, config: &config::Republish) -> Option<Vec<(usize, Template)>> {
        let before = self.faults.len();
        let mut listed = Vec::new();
        for (name, text) in &config.properties {
            let key = format!("{key}.{name}");
            match PROPERTIES.iter().position(|(known, _)| known == name) {
                Some(property) => listed.extend(self.template(&key, text).map(|template| (property, template))),
                None => {
                    let names = PROPERTIES.iter().map(|(name, _)| *name);
                    let help = nearest(name, names.clone()).map_or_else(
                        || format!("there are {}", names.collect::<Vec<_>>().join(", ")),
                        |near| format!("did you mean `{near}`?"),
                    );
                    let message = format!("`{name}` is no property that a rule can give a message");
                    self.whole(&key, name, "R0213", message, &help);
                }
            }
        }
        (self.faults.len() == before).then_some(listed)
    }

    fn user_properties(&mut self, key: &str, config: Option<&UserProperties>) -> Option<UserFrom> {
        match config {
            None => Some(UserFrom::None),
            Some(UserProperties::Whole(text)) => {
                let template = self.template(key, text)?;
                if template.is_value() {
                    return Some(UserFrom::Whole(template));
                }
                let message = "User Properties are a map".to_owned();
                self.whole(key, text, "R0213", message, "write one template that gives one, or a table of them");
                None
            }
            Some(UserProperties::ByName(named)) => {
                let before = self.faults.len();
                let mut list = Vec::new();
                for (name, text) in named {
                    let template = self.template(&format!("{key}.{name}"), text);
                    list.extend(template.map(|template| (name.clone(), template)));
                }
                (self.faults.len() == before).then_some(UserFrom::ByName(list))
            }
        }
    }
}

/// Why nobody but the broker publishes there.
pub(super) fn belongs_to_the_broker(topic: &str) -> Option<String> {
    (topic.starts_with('$') && !topic.starts_with("$delayed/"))
        .then(|| "topics that begin with `$` belong to the broker; a rule may publish to $delayed/… only".to_owned())
}
