//! Tokens of an expression. Cutting never fails: what fits nowhere is an [`Kind::Unknown`] token that the parser refuses
//! where it meets it.

use super::{ExpressionError, Kind as ExpressionKind};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A bare word: attribute name, function name or keyword.
    Word,
    /// `#name`.
    Name,
    /// `:value`.
    Value,
    /// Digits, as in a list index.
    Digits,
    /// Punctuation, a comparator, `+` or `-`.
    Symbol,
    /// A character that means nothing here.
    Unknown,
    /// After the last token.
    End,
}

/// One token and where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    start: usize,
}

impl Token<'_> {
    /// Is it this punctuation or comparator?
    pub(super) fn is(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }

    /// Is it this keyword, in whatever case?
    pub(super) fn is_keyword(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword)
    }
}

/// The tokens of one expression, and how far they were taken.
pub(super) struct Tokens<'a> {
    pub(super) expression: ExpressionKind,
    text: &'a str,
    tokens: Vec<Token<'a>>,
    /// For each `(`, where its `)` is.
    closing: Vec<Option<usize>>,
    at: usize,
}

impl<'a> Tokens<'a> {
    /// Cuts `text`, which must not be empty or too long.
    pub(super) fn cut(expression: ExpressionKind, text: &'a str) -> Result<Tokens<'a>, ExpressionError> {
        expression.check_size(text)?;
        let mut tokens = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (kind, length) = measure(rest);
            tokens.push(Token { kind, text: &rest[..length], start: text.len() - rest.len() });
            rest = rest[length..].trim_start();
        }
        let closing = match_parentheses(&tokens);
        Ok(Tokens { expression, text, tokens, closing, at: 0 })
    }

    /// The next token, not taken.
    pub(super) fn peek(&self) -> Token<'a> {
        self.look(0)
    }

    /// The token `ahead` of the next one.
    pub(super) fn look(&self, ahead: usize) -> Token<'a> {
        let end = Token { kind: Kind::End, text: "<EOF>", start: self.text.len() };
        self.tokens.get(self.at + ahead).copied().unwrap_or(end)
    }

    /// Takes the next token.
    pub(super) fn take(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    /// Takes the next token if it is `symbol`.
    pub(super) fn accept(&mut self, symbol: &str) -> bool {
        let is = self.peek().is(symbol);
        self.at += usize::from(is);
        is
    }

    /// Takes the next token, which must be `symbol`.
    pub(super) fn expect(&mut self, symbol: &str) -> Result<(), ExpressionError> {
        if self.accept(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Takes the next token, which must be `keyword`.
    pub(super) fn expect_keyword(&mut self, keyword: &str) -> Result<(), ExpressionError> {
        if !self.peek().is_keyword(keyword) {
            return Err(self.unexpected());
        }
        self.at += 1;
        Ok(())
    }

    /// Refuses the next token, showing it between its neighbours.
    pub(super) fn unexpected(&self) -> ExpressionError {
        let token = self.peek();
        let from = self.at.checked_sub(1).and_then(|before| self.tokens.get(before)).map_or(token.start, |t| t.start);
        let until = self.tokens.get(self.at + 1).or(self.tokens.last()).map_or(0, |t| t.start + t.text.len());
        let near = &self.text[from..until.max(from)];
        self.expression.refuse(format_args!("Syntax error; token: \"{}\", near: \"{near}\"", token.text))
    }

    /// The token after the `)` that closes the `(` which comes next.
    pub(super) fn after_closing(&self) -> Option<Token<'a>> {
        let closing = (*self.closing.get(self.at)?)?;
        self.tokens.get(closing + 1).copied()
    }

    /// Is there a pair of parentheses directly inside another? Those of calls and lists do not count as the outer pair.
    pub(super) fn has_redundant_parentheses(&self) -> bool {
        self.closing.windows(2).enumerate().any(|(at, pair)| {
            let [Some(outer), Some(inner)] = pair else { return false };
            let before = at.checked_sub(1).map(|before| &self.tokens[before]);
            let is_list = before.is_some_and(|t| t.is_keyword("IN") || (t.kind == Kind::Word && !is_logical(t)));
            *outer == inner + 1 && !is_list
        })
    }
}

/// May a condition or an operand in parentheses follow this word?
fn is_logical(token: &Token<'_>) -> bool {
    ["AND", "OR", "NOT", "BETWEEN"].iter().any(|keyword| token.is_keyword(keyword))
}

/// The kind and length of the first token of `rest`, which does not begin with a blank.
fn measure(rest: &str) -> (Kind, usize) {
    let run = |from: usize| {
        let tail = &rest.as_bytes()[from..];
        from + tail.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count()
    };
    let bytes = rest.as_bytes();
    match bytes[0] {
        b'#' if run(1) > 1 => (Kind::Name, run(1)),
        b':' if run(1) > 1 => (Kind::Value, run(1)),
        b'<' if matches!(bytes.get(1), Some(b'=' | b'>')) => (Kind::Symbol, 2),
        b'>' if bytes.get(1) == Some(&b'=') => (Kind::Symbol, 2),
        b'(' | b')' | b',' | b'.' | b'[' | b']' | b'=' | b'<' | b'>' | b'+' | b'-' => (Kind::Symbol, 1),
        b'0'..=b'9' => (Kind::Digits, bytes.iter().take_while(|b| b.is_ascii_digit()).count()),
        b'a'..=b'z' | b'A'..=b'Z' | b'_' => (Kind::Word, run(0)),
        _ => (Kind::Unknown, rest.chars().next().map_or(1, char::len_utf8)),
    }
}

fn match_parentheses(tokens: &[Token<'_>]) -> Vec<Option<usize>> {
    let mut closing = vec![None; tokens.len()];
    let mut open = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if token.is("(") {
            open.push(at);
        } else if token.is(")")
            && let Some(opened) = open.pop()
        {
            closing[opened] = Some(at);
        }
    }
    closing
}
