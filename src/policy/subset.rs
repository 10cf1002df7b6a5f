//! Which CEL is read: what the crate evaluates as the API server does. Everything else is refused with its reason.

use kube_cel::cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, operators};

/// Comprehensions inside comprehensions: each multiplies the work by the length of a list.
const MAX_NESTED: usize = 4;

/// Deepest expression: keeps the evaluator's stack, which recurses, below a thread's, and the parser below its own limit of 96, at which a
/// debug build of it panics.
const MAX_DEPTH: usize = 64;

/// Operators as the parser names them. Division and remainder are not among them: nothing here needs them.
const OPERATORS: [&str; 16] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::LESS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::GREATER_EQUALS,
    operators::ADD,
    operators::SUBSTRACT,
    operators::NEGATE,
    operators::INDEX,
    operators::IN,
    operators::NOT_STRICTLY_FALSE, // part of `all` and `exists`
];

/// Functions and methods that were held against the API server (`tests/policies.rs`).
pub const FUNCTIONS: [&str; 27] = [
    "size",
    "startsWith",
    "endsWith",
    "contains",
    "matches",
    "string",
    "int",
    "lowerAscii",
    "upperAscii",
    "trim",
    "split",
    "join",
    "replace",
    "substring",
    "indexOf",
    "lastIndexOf",
    "format",
    "isIP",
    "ip",
    "family",
    "isLoopback",
    "isUnspecified",
    "isLinkLocalUnicast",
    "isCIDR",
    "cidr",
    "containsIP",
    "containsCIDR",
];

/// What the API server and we both know of a request.
const REQUEST: [&str; 10] = [
    "kind",
    "resource",
    "subResource",
    "requestKind",
    "requestResource",
    "requestSubResource",
    "name",
    "namespace",
    "operation",
    "dryRun",
];

/// Words that the API server refuses as names of loop variables, and the crate does not (CEL specification, `RESERVED`).
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// What an expression may name besides its own loop variables.
pub(super) struct Names<'a> {
    /// The policy takes parameters.
    pub params: bool,
    /// Variables that come before it.
    pub variables: &'a [String],
}

/// Refuses, before it is parsed, what the parser would recurse into too deeply.
pub(super) fn depth(source: &str) -> Result<(), String> {
    if nesting(source) > MAX_DEPTH { Err(too_deep()) } else { Ok(()) }
}

/// Refuses what is not in the subset. The error is one line for people.
pub(super) fn check(tree: &IdedExpr, names: &Names) -> Result<(), String> {
    Lint { names, bound: Vec::new() }.check(tree, 0)
}

/// At least as deep as the parser will recurse: brackets inside each other, and conditions in a row.
fn nesting(source: &str) -> usize {
    let (mut depth, mut deepest): (usize, usize) = (0, 0);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' | b'?' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn too_deep() -> String {
    format!("an expression nested deeper than {MAX_DEPTH}: put parts of it into `variables`")
}

struct Lint<'a> {
    names: &'a Names<'a>,
    /// Variables of the comprehensions around.
    bound: Vec<String>,
}

impl Lint<'_> {
    fn check(&mut self, expression: &IdedExpr, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        let depth = depth + 1;
        match &expression.expr {
            Expr::Ident(name) => self.name(name),
            Expr::Literal(literal) => match literal {
                LiteralValue::Double(_) => Err("numbers with a fraction are not compared as the API server does".into()),
                LiteralValue::UInt(_) => Err("unsigned numbers (`1u`) are not read".into()),
                LiteralValue::Bytes(_) => Err("literals of bytes are not read".into()),
                _ => Ok(()),
            },
            Expr::Select(select) => match &select.operand.expr {
                Expr::Ident(root) if root == "variables" && !self.bound.contains(root) => self.variable(&select.field),
                Expr::Ident(root) if root == "request" && !self.bound.contains(root) => request(&select.field),
                _ => self.check(&select.operand, depth),
            },
            Expr::Call(call) => {
                let name = call.func_name.as_str();
                if !OPERATORS.contains(&name) && !FUNCTIONS.contains(&name) {
                    return Err(unknown_function(name));
                }
                call.target.iter().map(|target| &**target).chain(&call.args).try_for_each(|part| self.check(part, depth))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.check(element, depth)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.check(&entry.key, depth)?;
                    self.check(&entry.value, depth)
                }
                EntryExpr::StructField(_) => Err("messages (`Type{…}`) are not read".into()),
            }),
            Expr::Comprehension(comprehension) => {
                if comprehension.iter_var2.is_some() {
                    return Err("macros with two variables are not read".into());
                }
                if RESERVED.contains(&comprehension.iter_var.as_str()) {
                    return Err(format!("`{}` is a reserved word: call it otherwise", comprehension.iter_var));
                }
                self.check(&comprehension.iter_range, depth)?;
                let names = [comprehension.iter_var.clone(), comprehension.accu_var.clone()];
                self.bound.extend(names);
                if self.bound.len() > 2 * MAX_NESTED {
                    return Err(format!("more than {MAX_NESTED} macros such as `all` inside each other"));
                }
                let parts = [&comprehension.accu_init, &comprehension.loop_cond, &comprehension.loop_step, &comprehension.result];
                parts.into_iter().try_for_each(|part| self.check(part, depth))?;
                self.bound.truncate(self.bound.len() - 2);
                Ok(())
            }
            Expr::Struct(_) => Err("messages (`Type{…}`) are not read".into()),
            Expr::Unspecified => Err("an empty expression".into()),
        }
    }

    fn name(&self, name: &str) -> Result<(), String> {
        match name {
            _ if self.bound.iter().any(|bound| bound == name) => Ok(()),
            "object" | "oldObject" | "namespaceObject" => Ok(()),
            "params" if self.names.params => Ok(()),
            "params" => Err("`params`, but the policy has no `paramKind`".into()),
            "variables" | "request" => Err(format!("`{name}` alone: name a field of it")),
            "authorizer" => Err("`authorizer` asks the API server; it is not known here".into()),
            _ => Err(format!("`{}` is not known here", name.escape_debug())),
        }
    }

    fn variable(&self, name: &str) -> Result<(), String> {
        if self.names.variables.iter().any(|known| known == name) {
            return Ok(());
        }
        Err(format!("there is no variable `{}` before this", name.escape_debug()))
    }
}

fn request(field: &str) -> Result<(), String> {
    match field {
        _ if REQUEST.contains(&field) => Ok(()),
        "userInfo" => Err("`request.userInfo`: who applies an object is not known here".into()),
        _ => Err(format!("`request.{}` is not known here", field.escape_debug())),
    }
}

fn unknown_function(name: &str) -> String {
    match name {
        operators::OPT_INDEX | operators::OPT_SELECT => "optional fields (`.?`, `[?]`) are not read: ask with `has()`".into(),
        _ => {
            let shown = name.trim_matches(|c| c == '_' || c == '@');
            format!("`{}` is not among what is evaluated as the API server does", shown.escape_debug())
        }
    }
}
