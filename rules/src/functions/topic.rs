//! Functions of Topic Names and Topic Filters.

use std::borrow::Cow;

use millrace_core::topic::filter::{self, TopicFilter};
use millrace_core::topic::name::TopicLimits;
use millrace_core::value::Value;

use super::conversion::to_text;
use super::{Function, Items, TEXT, optional, owned, param, part, pure, text, within};
use crate::error::{Trouble, met};
use crate::value_type::Type;

pub(super) const TABLE: &[Function] = &[
    Function {
        verify: Some(|args| match args {
            [Some(only)] if !matches!(only, Value::List(_)) => {
                Err(format!("one argument is a list, this is {}", met(only)))
            }
            _ => Ok(()),
        }),
        ..optional(
            "topic_join",
            &[param("levels", Type::ANY), param("level", Type::ANY)],
            1,
            Type::TEXT,
            "Levels joined by /: topic_join(['a', 'b']) is 'a/b', topic_join('a/', 'b') is 'a/b'.",
            join,
        )
    },
    pure("topic_split", &[TEXT], Type::LIST, "The levels of a topic: topic_split('a/b') is ['a', 'b'].", |args| {
        let mut levels = Items::default();
        let mut from = 0;
        for level in text(args, 0).split('/') {
            levels.push(part(&args[0], from..from + level.len()))?;
            from += level.len() + 1;
        }
        Ok(Value::List(levels.0))
    }),
    Function {
        verify: Some(|args| match args.get(1) {
            Some(Some(Value::Text(filter))) => TopicFilter::parse(filter, TopicLimits::default())
                .map(drop)
                .map_err(|why| format!("'{filter}' is no topic filter: {why}")),
            _ => Ok(()),
        }),
        ..pure(
            "topic_match",
            &[TEXT, param("filter", Type::TEXT)],
            Type::BOOL,
            "Whether a topic matches a filter: topic_match('a/b', 'a/+') is true.",
            |args| Ok(Value::Bool(filter::matches(text(args, 1), text(args, 0)))),
        )
    },
];

fn join<'i>(args: &mut [Value<'i>]) -> Result<Value<'i>, Trouble> {
    const NAME: &str = "topic_join";
    let refused = |why: &str| Err(Trouble::Failed { function: NAME, why: why.to_owned() });
    match args {
        [Value::List(levels)] => {
            let mut topic = String::new();
            for (index, level) in levels.iter().enumerate() {
                if index > 0 {
                    topic.push('/');
                }
                if level.is_null() {
                    return refused("a level is null");
                }
                topic.push_str(&to_text(NAME, level)?);
                within(topic.len())?;
            }
            owned(topic)
        }
        [Value::Null, _] | [_, Value::Null] => refused("a level is null"),
        [parent, level] => {
            let parent = to_text(NAME, parent)?;
            let slash = match parent.as_bytes() {
                [] => return refused("the first part is empty"),
                [.., b'/'] => "",
                _ => "/",
            };
            let level: Cow<'_, str> = to_text(NAME, level)?;
            owned([&*parent, slash, &*level].concat())
        }
        [only] => Err(Trouble::Argument { function: NAME, index: 1, wanted: Type::LIST, met: met(only) }),
        _ => Ok(Value::Null),
    }
}
