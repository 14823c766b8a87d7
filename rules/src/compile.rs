//! The checked tree to closures: whatever is known of the rule is decided here, nothing of it per message.

use millrace_core::topic::filter;
use millrace_core::value::Value;

use crate::ast::{BinaryOp, PutStep, Step};
use crate::error::{EvalError, Trouble};
use crate::fields::EventField;
use crate::input::{At, Input, PublishEvent, Scratch};
use crate::json;
use crate::ops;
use crate::path::{self, Found};
use crate::tree::{Node, NodeKind};
use crate::value_type::Type;

/// What a closure gives: a value that borrows from the event or from the rule.
pub(crate) type Eval<'i> = Result<Value<'i>, EvalError>;
/// An expression, compiled.
pub(crate) type ValueFn = Box<dyn for<'i, 'a, 's> Fn(&'s Frame<'i, 'a>, &'s [Value<'i>]) -> Eval<'i> + Send + Sync>;
/// A condition, compiled.
pub(crate) type TestFn =
    Box<dyn for<'i, 'a, 's> Fn(&'s Frame<'i, 'a>, &'s [Value<'i>]) -> Result<bool, EvalError> + Send + Sync>;

/// What all closures of a rule see.
pub(crate) struct Frame<'i, 'a> {
    /// The event.
    pub(crate) input: &'i Input<'a>,
    /// The constants of the rule.
    pub(crate) constants: &'i [Value<'static>],
}

/// Compiles the expressions of one rule.
#[derive(Default)]
pub(crate) struct Compiler {
    /// Constants that values are made of, for [`Frame::constants`].
    pub(crate) constants: Vec<Value<'static>>,
}

fn value_fn<F>(closure: F) -> ValueFn
where
    F: for<'i, 'a, 's> Fn(&'s Frame<'i, 'a>, &'s [Value<'i>]) -> Eval<'i> + Send + Sync + 'static,
{
    Box::new(closure)
}

fn test_fn<F>(closure: F) -> TestFn
where
    F: for<'i, 'a, 's> Fn(&'s Frame<'i, 'a>, &'s [Value<'i>]) -> Result<bool, EvalError> + Send + Sync + 'static,
{
    Box::new(closure)
}

impl Compiler {
    /// A closure for the value.
    pub(crate) fn value(&mut self, node: Node) -> ValueFn {
        let span = node.span;
        match node.kind {
            NodeKind::Const(Value::Null) => value_fn(|_, _| Ok(Value::Null)),
            NodeKind::Const(Value::Bool(value)) => value_fn(move |_, _| Ok(Value::Bool(value))),
            NodeKind::Const(Value::Int(value)) => value_fn(move |_, _| Ok(Value::Int(value))),
            NodeKind::Const(Value::Float(value)) => value_fn(move |_, _| Ok(Value::Float(value))),
            NodeKind::Const(value) => {
                let at = self.constants.len();
                self.constants.push(value);
                value_fn(move |frame, _| Ok(frame.constants[at].borrowed()))
            }
            NodeKind::Field(field) => value_fn(move |frame, _| Ok(frame.input.field(field))),
            NodeKind::Payload(steps) => value_fn(move |frame, _| frame.input.payload(&steps).at(span)),
            NodeKind::Part(of, steps) => match (&of.kind, &*steps) {
                (NodeKind::Field(EventField::Flags), [Step::Name(name)]) if name == "retain" => {
                    value_fn(|frame, _| Ok(Value::Bool(frame.input.retain())))
                }
                (NodeKind::Field(EventField::Flags), [Step::Name(name)]) if name == "dup" => {
                    value_fn(|frame, _| Ok(Value::Bool(frame.input.dup())))
                }
                // Only the part is copied, not the whole.
                (NodeKind::Slot(slot), _) => {
                    let slot = *slot;
                    value_fn(move |frame, slots| match path::find(&slots[slot], &steps) {
                        Found::Here(value) => copy(frame, value).at(span),
                        Found::InText(text, rest) => {
                            frame.input.pay(text.len()).at(span)?;
                            Ok(json::decode(text, rest))
                        }
                        Found::Nothing => Ok(Value::Null),
                    })
                }
                _ => {
                    let of = self.value(*of);
                    value_fn(move |frame, slots| {
                        let whole = of(frame, slots)?;
                        if let Value::Text(text) = &whole {
                            frame.input.pay(text.len()).at(span)?;
                        }
                        Ok(path::walk(whole, &steps))
                    })
                }
            },
            NodeKind::At(of, index) => {
                let (of, index) = (self.value(*of), self.value(*index));
                value_fn(move |frame, slots| {
                    let whole = of(frame, slots)?;
                    let Value::Int(index) = index(frame, slots)? else { return Ok(Value::Null) };
                    frame.input.pay(copied(&whole)).at(span)?;
                    Ok(path::walk(whole, &[Step::Index(index)]))
                })
            }
            NodeKind::Slice(of, first, last) => {
                let of = self.value(*of);
                value_fn(move |frame, slots| {
                    let whole = of(frame, slots)?;
                    frame.input.pay(copied(&whole)).at(span)?;
                    path::slice(whole, first, last).at(span)
                })
            }
            NodeKind::List(items) => {
                let items: Vec<_> = items.into_iter().map(|item| self.value(item)).collect();
                value_fn(move |frame, slots| {
                    items.iter().map(|item| item(frame, slots)).collect::<Result<_, _>>().map(Value::List)
                })
            }
            NodeKind::Put(base, steps, value) => {
                let (base, value) = (base.map(|base| self.value(*base)), self.value(*value));
                // Names are the rule's, and so live as long as the constants do.
                let first = self.constants.len();
                self.constants.extend(steps.iter().map(|step| match step {
                    PutStep::Name(name) => Value::Text(name.clone().into()),
                    PutStep::Index(_) | PutStep::Append => Value::Null,
                }));
                value_fn(move |frame, slots| {
                    let value = value(frame, slots)?;
                    let mut base = base.as_ref().map_or(Ok(Value::Null), |base| base(frame, slots))?;
                    frame.input.pay(copied(&base)).at(span)?;
                    path::put(&mut base, &steps, &frame.constants[first..], value);
                    Ok(base)
                })
            }
            NodeKind::Slot(slot) => value_fn(move |frame, slots| copy(frame, &slots[slot]).at(span)),
            NodeKind::Members(members) => {
                let members: Vec<_> = members
                    .into_iter()
                    .map(|(name, node)| {
                        self.constants.push(Value::Text(name.into()));
                        (self.constants.len() - 1, self.value(node))
                    })
                    .collect();
                value_fn(move |frame, slots| {
                    let mut map = Vec::with_capacity(members.len());
                    for (name, member) in &members {
                        if let Value::Text(name) = &frame.constants[*name] {
                            map.push((name.as_ref().into(), member(frame, slots)?));
                        }
                    }
                    Ok(Value::Map(map))
                })
            }
            NodeKind::Negate(inner) => {
                let inner = self.value(*inner);
                value_fn(move |frame, slots| ops::negate(&inner(frame, slots)?).at(span))
            }
            NodeKind::Arithmetic(op, left, right) => {
                let (left, right) = (self.value(*left), self.value(*right));
                value_fn(move |frame, slots| {
                    let (left, right) = (left(frame, slots)?, right(frame, slots)?);
                    let result = ops::arithmetic(op, &left, &right).at(span)?;
                    if let Value::Text(text) = &result {
                        frame.input.pay(text.len()).at(span)?;
                    }
                    Ok(result)
                })
            }
            NodeKind::CaseWhen(branches, otherwise) => {
                let branches: Vec<_> =
                    branches.into_iter().map(|(when, then)| (self.test(when), self.value(then))).collect();
                let otherwise = otherwise.map(|otherwise| self.value(*otherwise));
                value_fn(move |frame, slots| {
                    for (when, then) in &branches {
                        if when(frame, slots)? {
                            return then(frame, slots);
                        }
                    }
                    otherwise.as_ref().map_or(Ok(Value::Null), |otherwise| otherwise(frame, slots))
                })
            }
            NodeKind::CaseOf(subject, branches, otherwise) => {
                let subject = self.value(*subject);
                let branches: Vec<_> =
                    branches.into_iter().map(|(when, then)| (self.value(when), self.value(then))).collect();
                let otherwise = otherwise.map(|otherwise| self.value(*otherwise));
                value_fn(move |frame, slots| {
                    let subject = subject(frame, slots)?;
                    for (when, then) in &branches {
                        let when = when(frame, slots)?;
                        frame.input.pay(ops::work(&subject, &when)).at(span)?;
                        if subject.same(&when) {
                            return then(frame, slots);
                        }
                    }
                    otherwise.as_ref().map_or(Ok(Value::Null), |otherwise| otherwise(frame, slots))
                })
            }
            NodeKind::Call(function, args) => {
                let args: Vec<_> = args.into_iter().map(|arg| self.value(arg)).collect();
                value_fn(move |frame, slots| {
                    let mut values = smallvec::SmallVec::<[Value<'_>; 4]>::with_capacity(args.len());
                    for arg in &args {
                        values.push(arg(frame, slots)?);
                    }
                    function.call(frame.input, &mut values).at(span)
                })
            }
            NodeKind::Not(_)
            | NodeKind::Compare(..)
            | NodeKind::And(_)
            | NodeKind::Or(_)
            | NodeKind::In(..)
            | NodeKind::IsNull(..) => {
                let test = self.test(node);
                value_fn(move |frame, slots| test(frame, slots).map(Value::Bool))
            }
        }
    }

    /// A closure for the condition. What is neither true nor false does not hold.
    pub(crate) fn test(&mut self, node: Node) -> TestFn {
        let span = node.span;
        match node.kind {
            NodeKind::Not(inner) => {
                if inner.ty == Type::BOOL {
                    let inner = self.test(*inner);
                    return test_fn(move |frame, slots| Ok(!inner(frame, slots)?));
                }
                let inner = self.value(*inner);
                test_fn(move |frame, slots| Ok(matches!(inner(frame, slots)?, Value::Bool(false))))
            }
            NodeKind::And(terms) => {
                let terms: Vec<_> = terms.into_iter().map(|term| self.test(term)).collect();
                test_fn(move |frame, slots| {
                    for term in &terms {
                        if !term(frame, slots)? {
                            return Ok(false);
                        }
                    }
                    Ok(true)
                })
            }
            NodeKind::Or(terms) => {
                let terms: Vec<_> = terms.into_iter().map(|term| self.test(term)).collect();
                test_fn(move |frame, slots| {
                    for term in &terms {
                        if term(frame, slots)? {
                            return Ok(true);
                        }
                    }
                    Ok(false)
                })
            }
            NodeKind::Compare(BinaryOp::Matches, left, right) => {
                let (left, right) = (self.value(*left), self.value(*right));
                test_fn(move |frame, slots| {
                    Ok(match (left(frame, slots)?, right(frame, slots)?) {
                        (Value::Text(topic), Value::Text(wanted)) => {
                            frame.input.pay(topic.len()).at(span)?;
                            filter::matches(&wanted, &topic)
                        }
                        (Value::Null, Value::Null) => true,
                        _ => false,
                    })
                })
            }
            NodeKind::Compare(op, left, right) => {
                if let (NodeKind::Slot(slot), Some(constant)) = (&left.kind, right.constant()) {
                    let (slot, constant) = (*slot, constant.clone());
                    return test_fn(move |frame, slots| {
                        let left = &slots[slot];
                        frame.input.pay(ops::work(left, &constant)).at(span)?;
                        ops::compare(op, left, &constant).at(span)
                    });
                }
                let left = self.value(*left);
                if let NodeKind::Const(constant) = right.kind {
                    return test_fn(move |frame, slots| {
                        let left = left(frame, slots)?;
                        frame.input.pay(ops::work(&left, &constant)).at(span)?;
                        ops::compare(op, &left, &constant).at(span)
                    });
                }
                let right = self.value(*right);
                test_fn(move |frame, slots| {
                    let (left, right) = (left(frame, slots)?, right(frame, slots)?);
                    frame.input.pay(ops::work(&left, &right)).at(span)?;
                    ops::compare(op, &left, &right).at(span)
                })
            }
            NodeKind::In(value, list, negated) => {
                let value = self.value(*value);
                let list: Vec<_> = list.into_iter().map(|item| self.value(item)).collect();
                test_fn(move |frame, slots| {
                    let value = value(frame, slots)?;
                    for item in &list {
                        let item = item(frame, slots)?;
                        frame.input.pay(ops::work(&value, &item)).at(span)?;
                        if value.same(&item) {
                            return Ok(!negated);
                        }
                    }
                    Ok(negated)
                })
            }
            NodeKind::IsNull(value, negated) => {
                let value = self.value(*value);
                test_fn(move |frame, slots| Ok(value(frame, slots)?.is_null() != negated))
            }
            _ => {
                let value = self.value(node);
                test_fn(move |frame, slots| Ok(matches!(value(frame, slots)?, Value::Bool(true))))
            }
        }
    }
}

/// A copy of a value, paid for.
#[inline]
fn copy<'i>(frame: &Frame<'i, '_>, value: &Value<'i>) -> Result<Value<'i>, Trouble> {
    frame.input.pay(copied(value))?;
    Ok(value.clone())
}

/// The bytes that copying this value copies.
pub(crate) fn copied(value: &Value<'_>) -> usize {
    match value {
        Value::Text(std::borrow::Cow::Owned(text)) => text.len(),
        Value::Bytes(std::borrow::Cow::Owned(bytes)) => bytes.len(),
        Value::List(items) => items.iter().map(copied).sum::<usize>() + 32 * items.len(),
        Value::Map(members) => members.iter().map(|(_, value)| copied(value)).sum::<usize>() + 64 * members.len(),
        _ => 1,
    }
}

/// The value of an expression that depends on no event.
///
/// # Errors
/// If it fails whatever the event.
pub(crate) fn constant(node: &Node) -> Result<Value<'static>, EvalError> {
    let mut compiler = Compiler::default();
    let closure = compiler.value(node.clone());
    let mut scratch = Scratch::default();
    let input = Input::publish(
        PublishEvent {
            id: 0,
            clientid: "",
            username: None,
            peerhost: std::net::Ipv4Addr::UNSPECIFIED.into(),
            topic: "",
            qos: millrace_core::packet::QoS::AtMostOnce,
            retain: false,
            dup: false,
            payload: b"",
            properties: b"",
            unix_ms: 0,
            node: "",
        },
        &mut scratch,
    );
    let frame = Frame { input: &input, constants: &compiler.constants };
    let value = closure(&frame, &[])?;
    if copied(&value) > 1 << 16 {
        return Err(EvalError::new(&Trouble::TooLarge, node.span));
    }
    Ok(value.into_owned())
}
