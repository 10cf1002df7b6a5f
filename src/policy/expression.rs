//! CEL, in the subset in which the crate and the API server agree. What is outside is refused when the policy is read, with its place; what
//! goes wrong later counts as a violation. The crate's own evaluator of policies is not used: it mangles keys of maps, so that
//! `'a/b' in object.metadata.labels` is never true there.
//!
//! `string` of a truth value fails here and not there, which holds too much and never too little.
//!
//! Seen to differ in `cel` 0.13, and therefore refused: macros with two variables, `cel.bind`, optional fields, `type`, literals with a fraction,
//! `request.userInfo`, `authorizer`. And mended here: a field of something that has no fields is `false` in the crate instead of an error, so that
//! its negation would let through what the API server refuses. [`strict`] turns every field into an index, which fails as it must.

use kube_cel::cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use kube_cel::cel::parser::Parser;
use kube_cel::cel::{Context, Value};

use super::subset::{self, Names};
use crate::words::one_line;

/// Longest expression, in bytes; with the limits in `subset` it bounds what parsing and evaluating can take. The longest of the library has 400.
const MAX_LENGTH: usize = 2_000;

/// An expression that is fit to be evaluated.
#[derive(Debug)]
pub(super) struct Expression {
    pub source: String,
    tree: IdedExpr,
}

impl Expression {
    /// Parses, and refuses what is not in the subset. The error is one line for people.
    pub fn compile(source: &str, names: &Names) -> Result<Self, String> {
        if source.len() > MAX_LENGTH {
            return Err(format!(
                "an expression of {} bytes; at most {MAX_LENGTH}: put parts of it into `variables`",
                source.len()
            ));
        }
        subset::depth(source)?;
        let mut tree = Parser::default().parse(source).map_err(|errors| {
            let first = errors.errors.first().map_or("not CEL", |error| error.msg.as_str());
            format!("not CEL: {}", one_line(first))
        })?;
        subset::check(&tree, names)?;
        strict(&mut tree);
        Ok(Self { source: source.trim().to_owned(), tree })
    }

    /// The names of variables that it uses.
    pub fn variables(&self) -> Vec<String> {
        let mut found = Vec::new();
        used(&self.tree, "variables", &mut found);
        found
    }

    /// Whether it uses a name such as `oldObject`.
    pub fn uses(&self, name: &str) -> bool {
        self.tree.references().has_variable(name)
    }

    pub fn evaluate(&self, context: &Context) -> Result<Value, String> {
        Value::resolve(&self.tree, context).map_err(|error| one_line(&error.to_string()))
    }

    /// Evaluates what must be true or false.
    pub fn holds(&self, context: &Context) -> Result<bool, String> {
        match self.evaluate(context)? {
            Value::Bool(value) => Ok(value),
            other => Err(format!("gives a {}, not true or false", other.type_of())),
        }
    }

    /// Evaluates a message. `None` where it gives none, as for the API server.
    pub fn text(&self, context: &Context) -> Option<String> {
        match self.evaluate(context) {
            Ok(Value::String(text)) if !text.trim().is_empty() => Some(one_line(&text)),
            _ => None,
        }
    }
}

/// Fields become indices: see above. `has(a.b)` stays, for there the API server says `false` too.
fn strict(expression: &mut IdedExpr) {
    match &mut expression.expr {
        Expr::Select(select) if !select.test => {
            strict(&mut select.operand);
            let field = IdedExpr { id: expression.id, expr: Expr::Literal(LiteralValue::String(select.field.as_str().into())) };
            let args = vec![std::mem::take(&mut *select.operand), field];
            expression.expr = Expr::Call(CallExpr { func_name: operators::INDEX.to_owned(), target: None, args });
        }
        _ => parts(expression).into_iter().for_each(strict),
    }
}

fn parts(expression: &mut IdedExpr) -> Vec<&mut IdedExpr> {
    match &mut expression.expr {
        Expr::Call(call) => call.target.iter_mut().map(|target| &mut **target).chain(&mut call.args).collect(),
        Expr::List(list) => list.elements.iter_mut().collect(),
        Expr::Map(map) => map
            .entries
            .iter_mut()
            .flat_map(|entry| match &mut entry.expr {
                EntryExpr::MapEntry(entry) => vec![&mut entry.key, &mut entry.value],
                EntryExpr::StructField(_) => Vec::new(),
            })
            .collect(),
        Expr::Comprehension(all) => {
            let all = &mut **all;
            vec![&mut all.iter_range, &mut all.accu_init, &mut all.loop_cond, &mut all.loop_step, &mut all.result]
        }
        Expr::Select(select) => vec![&mut select.operand],
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => Vec::new(),
    }
}

/// Fields of `root` that an expression names, after [`strict`].
fn used(expression: &IdedExpr, root: &str, found: &mut Vec<String>) {
    let mut copy = expression.clone();
    walk(&mut copy, &mut |expression| {
        if let Expr::Call(call) = &expression.expr
            && let [operand, field] = call.args.as_slice()
            && call.func_name == operators::INDEX
            && let (Expr::Ident(name), Expr::Literal(LiteralValue::String(field))) = (&operand.expr, &field.expr)
            && name == root
        {
            found.push(field.inner().to_owned());
        }
    });
}

fn walk(expression: &mut IdedExpr, visit: &mut dyn FnMut(&IdedExpr)) {
    visit(expression);
    parts(expression).into_iter().for_each(|part| walk(part, visit));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::value::cel;
    use kube_cel::KubeCelExt;
    use serde_json::json;

    const NAMES: Names = Names { params: false, variables: &[] };

    fn holds(source: &str) -> Result<bool, String> {
        let mut context = Context::default().with_all();
        let object = json!({"text": "a", "number": 5, "fraction": 5.0, "list": [1, 2], "none": null, "ips": ["10.1.2.3"],
            "labels": {"meshfed.dev/mesh": "m"}, "reserved": {"namespace": "n", "as": "x"}});
        context.add_variable_from_value("object", cel(&object));
        Expression::compile(source, &NAMES)?.holds(&context)
    }

    #[test]
    fn the_subset_says_what_the_api_server_says() {
        for source in [
            "'meshfed.dev/mesh' in object.labels && object.labels['meshfed.dev/mesh'] == 'm'",
            "has(object.text) && !has(object.other) && !has(object.text.enabled) && object.none == null",
            "object.number == 5 && object.fraction == 5 && object.number < 6",
            "object.list.all(x, x > 0) && object.list.exists(x, x == 2) && object.list.filter(x, x > 1).size() == 1",
            "object.reserved.namespace == 'n' && object.reserved['as'] == 'x' && object.reserved.as == 'x'",
            "object.ips.all(a, isIP(a) && cidr('10.0.0.0/8').containsIP(a))",
            "{'eu': ['a', 'b']}['eu'].exists(x, x == object.text)",
        ] {
            assert_eq!(holds(source), Ok(true), "{source}");
        }
    }

    #[test]
    fn what_would_be_wrongly_false_is_an_error() {
        for source in ["!object.text.enabled", "!object.none.a", "!object.number.a", "!object.list.a", "!has(object.absent.a)"] {
            assert!(holds(source).is_err(), "{source} is {:?}", holds(source));
        }
        assert!(holds("object.other == 1").unwrap_err().contains("No such key"));
        assert!(holds("object.number").unwrap_err().contains("not true or false"));
    }

    #[test]
    fn what_is_outside_the_subset_is_refused() {
        for (source, why) in [
            ("authorizer.group('').check('get').allowed()", "not among"),
            ("request.userInfo.username == 'a'", "who applies"),
            ("object.list.all(i, x, x > 0)", "not among"),
            ("type(object.number) == int", "not among"),
            ("object.number == 5.0", "fraction"),
            ("object.?text.orValue('') == ''", "not CEL"),
            ("cel.bind(x, 1, x == 1)", "not among"),
            ("params.a == 1", "no `paramKind`"),
            ("variables.a == 1", "no variable `a`"),
            ("foo == 1", "`foo` is not known"),
            ("object.list.all(namespace, true)", "reserved"),
            ("object.a ==", "not CEL"),
            ("", "not CEL"),
        ] {
            let error = Expression::compile(source, &NAMES).unwrap_err();
            assert!(error.contains(why), "{source}: {error}");
        }
    }

    #[test]
    fn no_expression_exhausts_the_stack() {
        let names = || NAMES;
        let long = |part: &str| {
            let source = part.repeat(MAX_LENGTH / part.len());
            source.trim_end_matches(|c: char| !c.is_alphanumeric() && c != ')' && c != ']').to_owned()
        };
        let mut sources: Vec<String> = ["1+", "a.", "!", "-", "1?1:", "a&&", "a[0]", "a.b()."].map(long).into();
        sources.extend(["(", "[", "{1:", "!(", "f("].map(|part| part.repeat(MAX_LENGTH / part.len())));
        let check = move || {
            for source in sources {
                let _ = Expression::compile(&source, &names()); // any answer will do
            }
        };
        // The smallest stack on which policies are read: that of a thread.
        std::thread::Builder::new().stack_size(2 << 20).spawn(check).unwrap().join().unwrap();
    }
}
