//! Paths: names that fields were given before, fields of the event, and the ways into them.

use millrace_core::value::Value;

use super::{Checker, FLAGS};
use crate::ast::{Expr, ExprKind, Path, PathStep, Step};
use crate::diagnostics::{Diagnostic, Span, nearest};
use crate::fields::{EventField, FieldInfo};
use crate::tree::{Node, NodeKind, Output};
use crate::value_type::Type;

impl Checker<'_> {
    pub(super) fn path(&mut self, path: &Path<'_>, span: Span) -> Node {
        let unknown = Node { kind: NodeKind::Const(Value::Null), ty: Type::ANY, span };
        let fixed = path.steps.iter().take_while(|step| matches!(step, PathStep::Fixed(_))).count();
        let (fixed, rest) = path.steps.split_at(fixed);
        let steps: Vec<Step> = fixed.iter().filter_map(known).collect();
        let mut of_payload = false;
        let mut node = match self.alias(&path.root, &steps, span) {
            Some(node) => node,
            None => match self.event.field(&path.root) {
                Some(info) => {
                    of_payload = info.field == EventField::Payload;
                    self.field_part(info, steps, span)
                }
                None => match self.events.iter().find_map(|event| event.field(&path.root)) {
                    // Another event of the rule has it: for this one it is null.
                    Some(info) => Node { kind: NodeKind::Field(info.field), ty: Type::ANY, span },
                    None => {
                        let diagnostic = self.unknown_field(path);
                        self.diagnostics.push(diagnostic);
                        return unknown;
                    }
                },
            },
        };
        let mut rest = rest.iter().peekable();
        while let Some(step) = rest.next() {
            let kind = match step {
                PathStep::Fixed(step) => {
                    let mut steps = vec![step.clone()];
                    while let Some(PathStep::Fixed(step)) = rest.peek() {
                        steps.push(step.clone());
                        rest.next();
                    }
                    node = self.part(node, steps);
                    continue;
                }
                PathStep::Computed(index) => {
                    let index = self.index(index, of_payload);
                    if !index.ty.meets(Type::INT) {
                        let ty = index.ty;
                        self.error("R0111", index.span, format!("a position in a list is an integer, this is {ty}"));
                    }
                    NodeKind::At(Box::new(node), Box::new(index))
                }
                PathStep::Slice(first, last, at) => {
                    if *first == 0 || *last == 0 {
                        self.error("R0111", *at, "a slice goes from 1 or from -1 on, not from 0".to_owned());
                    }
                    if !node.ty.meets(Type::LIST | Type::TEXT) {
                        let ty = node.ty;
                        self.error("R0113", span, format!("this is {ty}, of which there are no slices"));
                    }
                    NodeKind::Slice(Box::new(node), *first, *last)
                }
            };
            node = Node { kind, ty: Type::ANY, span };
        }
        node
    }

    /// A position that is computed. In a path into the payload a plain name means a member of the payload.
    fn index(&mut self, index: &Expr<'_>, of_payload: bool) -> Node {
        if let ExprKind::Path(path) = &index.kind
            && of_payload
            && path.root != "payload"
            && path.steps.iter().all(|step| matches!(step, PathStep::Fixed(_)))
        {
            let names: Vec<Step> = path.steps.iter().filter_map(known).collect();
            if self.alias(&path.root, &names, index.span).is_none() {
                let root = Step::Name(path.root.clone().into_owned());
                let steps = std::iter::once(root).chain(names).collect();
                return Node { kind: NodeKind::Payload(steps), ty: Type::ANY, span: index.span };
            }
        }
        self.expr(index)
    }

    /// A field of the event, or a part of it.
    fn field_part(&mut self, info: &FieldInfo, steps: Vec<Step>, span: Span) -> Node {
        let field = match info.field {
            EventField::Metadata => {
                let rule = Value::Text(self.rule.to_owned().into());
                Node { kind: NodeKind::Const(Value::Map(vec![("rule_id".into(), rule)])), ty: info.ty, span }
            }
            field => Node { kind: NodeKind::Field(field), ty: info.ty, span },
        };
        if steps.is_empty() {
            return field;
        }
        if info.field == EventField::Payload {
            return Node { kind: NodeKind::Payload(steps.into_boxed_slice()), ty: Type::ANY, span };
        }
        if let (EventField::Flags, [Step::Name(name), rest @ ..]) = (info.field, steps.as_slice())
            && (!rest.is_empty() || !FLAGS.contains(&name.as_str()))
        {
            let mut diagnostic = Diagnostic::error("R0101", span, format!("`flags` has no `{name}`"));
            diagnostic.help = Some("it has `flags.retain` and `flags.dup`".to_owned());
            self.diagnostics.push(diagnostic);
            return Node { kind: NodeKind::Const(Value::Null), ty: Type::ANY, span };
        }
        self.part(field, steps)
    }

    /// A part of a value, if its type can have parts.
    pub(super) fn part(&mut self, of: Node, steps: Vec<Step>) -> Node {
        let span = of.span;
        if !of.ty.meets(Type::MAP | Type::LIST | Type::TEXT) {
            let ty = of.ty;
            self.diagnostics.push(
                Diagnostic::error("R0113", span, format!("this is {ty}, which has no parts"))
                    .help("only maps, lists, and texts that hold JSON have parts: name it without what follows"),
            );
        }
        Node { kind: NodeKind::Part(Box::new(of), steps.into_boxed_slice()), ty: Type::ANY, span }
    }

    /// A path that leads to or through names given before.
    fn alias(&mut self, root: &str, steps: &[Step], span: Span) -> Option<Node> {
        let mut output = self.names.get(root)?;
        let mut steps = steps;
        loop {
            output = match (output, steps) {
                (Output::Slot(slot), _) => {
                    let node = Node { kind: NodeKind::Slot(*slot), ty: self.slots[*slot].ty, span };
                    return Some(if steps.is_empty() { node } else { self.part(node, steps.to_vec()) });
                }
                (Output::Map(members), [Step::Name(name), rest @ ..]) => {
                    steps = rest;
                    members.iter().find(|(known, _)| known == name).map(|(_, member)| member)?
                }
                // The field of the event is not made of what was written to parts of it.
                (output, []) if self.event.field(root).is_none() => return Some(self.output(output, span)),
                _ => return None,
            };
        }
    }

    fn unknown_field(&self, path: &Path<'_>) -> Diagnostic {
        let name = path.root.as_ref();
        let fields =
            self.events.iter().flat_map(|event| event.fields().chain(event.fields_by_name())).map(|info| info.name);
        let aliases = self.names.roots();
        // Guessing is for people, who read the first mistakes.
        const GUESSES_MAX: usize = 20;
        let near = (self.diagnostics.len() < GUESSES_MAX).then(|| nearest(name, fields.chain(aliases))).flatten();
        if path.quoted {
            return Diagnostic::error(
                "R0102",
                path.root_span,
                format!("`\"{name}\"` in double quotes names a field, and no event has it"),
            )
            .help(format!("for text write '{}'", name.replace('\'', "''")))
            .replace(format!("'{}'", name.replace('\'', "''")));
        }
        let diagnostic = Diagnostic::error("R0101", path.root_span, format!("no event has a field `{name}`"));
        match near {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")).replace(near),
            None => diagnostic
                .help(format!("a member of a JSON payload is `payload.{name}`, a text is '{name}'"))
                .replace(format!("payload.{name}")),
        }
    }
}

fn known(step: &PathStep<'_>) -> Option<Step> {
    match step {
        PathStep::Fixed(step) => Some(step.clone()),
        PathStep::Computed(_) | PathStep::Slice(..) => None,
    }
}
