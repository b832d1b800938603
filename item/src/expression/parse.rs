//! The shape of an expression: which tests, joined how; names and values still as written.
//!
//! Conditions are parsed with an explicit stack of pending operators (the shunting-yard way) and come out in postfix
//! order, so neither parsing nor anything after it recurses with the input's nesting.
//!
//! ```text
//!   condition := test | NOT condition | condition AND condition | condition OR condition | ( condition )
//!   test      := operand comparator operand | operand BETWEEN operand AND operand
//!              | operand IN ( operand , ... ) | function ( operand , ... )
//!   operand   := path | :value | function ( operand , ... ) | ( operand )
//!   path      := name { . name | [ digits ] }            name := word | #name
//! ```

use super::{
    ExpressionError, Kind as ExpressionKind,
    lex::{Kind, Tokens},
};

/// How two operands are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparator {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparator {
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Comparator::Equal => "=",
            Comparator::NotEqual => "<>",
            Comparator::Less => "<",
            Comparator::LessOrEqual => "<=",
            Comparator::Greater => ">",
            Comparator::GreaterOrEqual => ">=",
        }
    }

    /// The comparator that is written so.
    pub fn from_symbol(symbol: &str) -> Option<Comparator> {
        Some(match symbol {
            "=" => Comparator::Equal,
            "<>" => Comparator::NotEqual,
            "<" => Comparator::Less,
            "<=" => Comparator::LessOrEqual,
            ">" => Comparator::Greater,
            ">=" => Comparator::GreaterOrEqual,
            _ => return None,
        })
    }
}

/// One step of a document path, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element<'a> {
    Word(&'a str),
    Name(&'a str),
    Index(u32),
}

/// Something to test, as written.
#[derive(Clone, Debug)]
pub(super) enum Operand<'a> {
    Path(Vec<Element<'a>>),
    Value(&'a str),
    Call(Call<'a>),
}

/// A function with its arguments, at least one.
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    pub(super) function: &'a str,
    pub(super) arguments: Vec<Operand<'a>>,
}

/// What is true or false by itself, as written.
#[derive(Clone, Debug)]
pub(super) enum Test<'a> {
    Compare(Operand<'a>, Comparator, Operand<'a>),
    Between(Operand<'a>, Operand<'a>, Operand<'a>),
    In(Operand<'a>, Vec<Operand<'a>>),
    Call(Call<'a>),
}

/// A condition in postfix order: each operator comes after its operands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Postfix<T> {
    Test(T),
    Not,
    And,
    Or,
}

/// Parses a whole condition.
pub(super) fn condition<'a>(mut tokens: Tokens<'a>) -> Result<Vec<Postfix<Test<'a>>>, ExpressionError> {
    let mut parser = Parser::new(CALL_DEPTH_MAX);
    let mut output = Vec::new();
    let mut pending: Vec<Pending> = Vec::new();
    loop {
        // Before a test: any number of NOT and `(`.
        if tokens.peek().is_keyword("NOT") {
            tokens.take();
            parser.operators += 1;
            pending.push(Pending::Not);
            continue;
        }
        if tokens.peek().is("(") && !opens_operand(&tokens) {
            tokens.take();
            pending.push(Pending::Group);
            continue;
        }
        output.push(Postfix::Test(parser.test(&mut tokens)?));
        // After a test: any number of `)`, then AND, OR or the end.
        while tokens.peek().is(")") && pending.contains(&Pending::Group) {
            tokens.take();
            reduce(&mut pending, &mut output, Pending::Group);
            pending.pop();
        }
        let next = tokens.peek();
        let operator = if next.is_keyword("AND") {
            Pending::And
        } else if next.is_keyword("OR") {
            Pending::Or
        } else {
            break;
        };
        tokens.take();
        parser.operators += 1;
        reduce(&mut pending, &mut output, operator);
        pending.push(operator);
    }
    if tokens.peek().kind != Kind::End || pending.contains(&Pending::Group) {
        return Err(tokens.unexpected());
    }
    reduce(&mut pending, &mut output, Pending::Group);
    finish(&tokens, &parser)?;
    Ok(output)
}

/// Refuses what shows only once a whole expression was parsed.
pub(super) fn finish(tokens: &Tokens<'_>, parser: &Parser) -> Result<(), ExpressionError> {
    if tokens.has_redundant_parentheses() {
        return Err(tokens.expression.refuse("The expression has redundant parentheses;"));
    }
    tokens.expression.check_operators(parser.operators)
}

/// Parses a list of paths.
pub(super) fn projection<'a>(mut tokens: Tokens<'a>) -> Result<Vec<Vec<Element<'a>>>, ExpressionError> {
    let mut paths = vec![path(&mut tokens)?];
    while tokens.accept(",") {
        paths.push(path(&mut tokens)?);
    }
    if tokens.peek().kind != Kind::End {
        return Err(tokens.unexpected());
    }
    Ok(paths)
}

/// What waits for its right side, or for its `)`. The greater binds tighter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pending {
    Group,
    Or,
    And,
    Not,
}

/// Moves to `output` whatever is pending since the last group and binds at least as tightly as `operator`.
fn reduce<T>(pending: &mut Vec<Pending>, output: &mut Vec<Postfix<T>>, operator: Pending) {
    while let Some(top) = pending.last()
        && *top != Pending::Group
        && *top >= operator
    {
        output.push(match top {
            Pending::Not => Postfix::Not,
            Pending::And => Postfix::And,
            Pending::Or | Pending::Group => Postfix::Or,
        });
        pending.pop();
    }
}

/// Does the next `(` hold an operand, not a condition? What follows its `)` tells.
fn opens_operand(tokens: &Tokens<'_>) -> bool {
    tokens.after_closing().is_some_and(|after| {
        let is_symbol = after.kind == Kind::Symbol;
        (is_symbol && (after.is(".") || after.is("[") || Comparator::from_symbol(after.text).is_some()))
            || after.is_keyword("BETWEEN")
            || after.is_keyword("IN")
    })
}

/// Calls inside calls; more are never valid, since only `size` gives a value and it does not take a number.
const CALL_DEPTH_MAX: usize = 8;

/// Parses operands, and counts.
pub(super) struct Parser {
    /// Operators and functions met so far.
    pub(super) operators: usize,
    /// Most calls inside calls.
    depth_max: usize,
}

impl Parser {
    pub(super) fn new(depth_max: usize) -> Parser {
        Parser { operators: 0, depth_max }
    }

    fn test<'a>(&mut self, tokens: &mut Tokens<'a>) -> Result<Test<'a>, ExpressionError> {
        let left = self.operand(tokens, 0)?;
        let next = tokens.peek();
        if next.kind == Kind::Symbol
            && let Some(comparator) = Comparator::from_symbol(next.text)
        {
            tokens.take();
            self.operators += 1;
            return Ok(Test::Compare(left, comparator, self.operand(tokens, 0)?));
        }
        if next.is_keyword("BETWEEN") {
            tokens.take();
            self.operators += 1;
            let low = self.operand(tokens, 0)?;
            tokens.expect_keyword("AND")?;
            return Ok(Test::Between(left, low, self.operand(tokens, 0)?));
        }
        if next.is_keyword("IN") {
            tokens.take();
            self.operators += 1;
            tokens.expect("(")?;
            return Ok(Test::In(left, self.list(tokens, 0)?));
        }
        match left {
            Operand::Call(call) => Ok(Test::Call(call)),
            _ => Err(tokens.unexpected()),
        }
    }

    /// An operand, inside any number of parentheses.
    pub(super) fn operand<'a>(
        &mut self,
        tokens: &mut Tokens<'a>,
        depth: usize,
    ) -> Result<Operand<'a>, ExpressionError> {
        let mut open = 0_usize;
        while tokens.accept("(") {
            open += 1;
        }
        let next = tokens.peek();
        let mut operand = match next.kind {
            Kind::Value => {
                tokens.take();
                Operand::Value(next.text)
            }
            Kind::Word if tokens.look(1).is("(") && !is_keyword(tokens.expression, next.text) => {
                if depth == self.depth_max {
                    return Err(tokens.expression.refuse(misused(next.text)));
                }
                tokens.take();
                tokens.take();
                self.operators += 1;
                Operand::Call(Call { function: next.text, arguments: self.list(tokens, depth + 1)? })
            }
            _ => Operand::Path(path(tokens)?),
        };
        while open > 0 {
            tokens.expect(")")?;
            open -= 1;
            // A path goes on behind its parentheses: `(a.b).c`.
            if let Operand::Path(elements) = &mut operand {
                path_tail(tokens, elements)?;
            }
        }
        Ok(operand)
    }

    /// One or more operands and the `)` behind them.
    fn list<'a>(&mut self, tokens: &mut Tokens<'a>, depth: usize) -> Result<Vec<Operand<'a>>, ExpressionError> {
        let mut operands = vec![self.operand(tokens, depth)?];
        while tokens.accept(",") {
            operands.push(self.operand(tokens, depth)?);
        }
        tokens.expect(")")?;
        Ok(operands)
    }
}

/// What is said of a function in a place where it has no meaning.
pub(super) fn misused(function: &str) -> String {
    format!("The function is not allowed to be used this way in an expression; function: {function}")
}

fn is_keyword(kind: ExpressionKind, word: &str) -> bool {
    kind.keywords().iter().any(|keyword| word.eq_ignore_ascii_case(keyword))
}

/// A document path.
pub(super) fn path<'a>(tokens: &mut Tokens<'a>) -> Result<Vec<Element<'a>>, ExpressionError> {
    let mut elements = vec![name(tokens)?];
    path_tail(tokens, &mut elements)?;
    Ok(elements)
}

fn path_tail<'a>(tokens: &mut Tokens<'a>, elements: &mut Vec<Element<'a>>) -> Result<(), ExpressionError> {
    loop {
        if tokens.accept(".") {
            elements.push(name(tokens)?);
        } else if tokens.accept("[") {
            let next = tokens.peek();
            let index = next.text.parse().ok().filter(|_| next.kind == Kind::Digits);
            elements.push(Element::Index(index.ok_or_else(|| tokens.unexpected())?));
            tokens.take();
            tokens.expect("]")?;
        } else {
            return Ok(());
        }
    }
}

fn name<'a>(tokens: &mut Tokens<'a>) -> Result<Element<'a>, ExpressionError> {
    let next = tokens.peek();
    let element = match next.kind {
        Kind::Word if !is_keyword(tokens.expression, next.text) => Element::Word(next.text),
        Kind::Name => Element::Name(next.text),
        _ => return Err(tokens.unexpected()),
    };
    tokens.take();
    Ok(element)
}
