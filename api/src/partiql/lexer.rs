//! Tokens of a statement. Cutting never fails: what fits nowhere is an [`Kind::Unknown`] token that the parser refuses where
//! it meets it. Comments (`-- to the end of the line` and `/* ... */`) are no tokens.

use std::borrow::Cow;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A bare word: keyword, name or function.
    Word,
    /// `"name"`, without its quotes.
    Quoted,
    /// `'text'`, without its quotes.
    Text,
    /// Digits, with a fraction and an exponent or without.
    Number,
    /// `?`
    Parameter,
    /// Punctuation or an operator.
    Symbol,
    /// What means nothing here, such as a quote that does not end.
    Unknown,
    /// After the last token.
    End,
}

/// One token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
}

impl<'a> Token<'a> {
    const END: Token<'static> = Token { kind: Kind::End, text: "" };

    /// Is it this punctuation or operator?
    pub(super) fn is(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }

    /// Is it this keyword, in whatever case?
    pub(super) fn is_keyword(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    /// The text between its quotes: a quote is written twice within.
    pub(super) fn unquoted(&self) -> Cow<'a, str> {
        let (quote, doubled) = if self.kind == Kind::Text { ("'", "''") } else { ("\"", "\"\"") };
        if self.text.contains(quote) { Cow::Owned(self.text.replace(doubled, quote)) } else { Cow::Borrowed(self.text) }
    }
}

/// The tokens of one statement, and how far they were taken.
pub(super) struct Tokens<'a> {
    tokens: Vec<Token<'a>>,
    /// For each `(`, where its `)` is.
    closing: Vec<Option<usize>>,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn cut(text: &'a str) -> Tokens<'a> {
        let mut tokens = Vec::new();
        let mut rest = skip_blanks(text);
        while !rest.is_empty() {
            let (token, length) = measure(rest);
            tokens.push(token);
            rest = skip_blanks(&rest[length..]);
        }
        let closing = match_parentheses(&tokens);
        Tokens { tokens, closing, at: 0 }
    }

    /// The next token, not taken.
    pub(super) fn peek(&self) -> Token<'a> {
        self.look(0)
    }

    /// The token `ahead` of the next one.
    pub(super) fn look(&self, ahead: usize) -> Token<'a> {
        self.tokens.get(self.at + ahead).copied().unwrap_or(Token::END)
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

    /// Takes the next token if it is `keyword`.
    pub(super) fn accept_keyword(&mut self, keyword: &str) -> bool {
        let is = self.peek().is_keyword(keyword);
        self.at += usize::from(is);
        is
    }

    /// The token after the `)` that closes the `(` which comes next, and the one after that.
    pub(super) fn after_closing(&self) -> Option<(Token<'a>, Token<'a>)> {
        let closing = (*self.closing.get(self.at)?)?;
        let token = |at: usize| self.tokens.get(at).copied().unwrap_or(Token::END);
        Some((token(closing + 1), token(closing + 2)))
    }
}

/// What is left behind blanks and comments.
fn skip_blanks(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        text = if text.starts_with("--") {
            text.find('\n').map_or("", |end| &text[end..])
        } else if let Some(comment) = text.strip_prefix("/*")
            && let Some(end) = comment.find("*/")
        {
            &comment[end + 2..]
        } else {
            return text;
        };
    }
}

/// The first token of `rest`, which does not begin with a blank, and its length with its quotes.
fn measure(rest: &str) -> (Token<'_>, usize) {
    let bytes = rest.as_bytes();
    let whole = |kind: Kind, length: usize| (Token { kind, text: &rest[..length] }, length);
    match bytes[0] {
        quote @ (b'\'' | b'"') => match quoted_length(bytes, quote) {
            Some(length) => {
                let kind = if quote == b'"' { Kind::Quoted } else { Kind::Text };
                (Token { kind, text: &rest[1..length - 1] }, length)
            }
            None => whole(Kind::Unknown, rest.len()),
        },
        b'?' => whole(Kind::Parameter, 1),
        b'<' if matches!(bytes.get(1), Some(b'=' | b'>' | b'<')) => whole(Kind::Symbol, 2),
        b'>' if matches!(bytes.get(1), Some(b'=' | b'>')) => whole(Kind::Symbol, 2),
        b'!' if bytes.get(1) == Some(&b'=') => whole(Kind::Symbol, 2),
        b'0'..=b'9' => whole(Kind::Number, number_length(bytes)),
        b'.' if bytes.get(1).is_some_and(u8::is_ascii_digit) => whole(Kind::Number, number_length(bytes)),
        b'(' | b')' | b'[' | b']' | b'{' | b'}' | b',' | b'.' | b':' | b';' | b'=' | b'<' | b'>' | b'+' | b'-'
        | b'*' => whole(Kind::Symbol, 1),
        b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' => {
            let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'_' | b'$');
            whole(Kind::Word, bytes.iter().take_while(is_part).count())
        }
        _ => whole(Kind::Unknown, rest.chars().next().map_or(1, char::len_utf8)),
    }
}

/// The length of the text in quotes, with them; none if it does not end.
fn quoted_length(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        at += bytes[at..].iter().position(|byte| *byte == quote)? + 1;
        if bytes.get(at) != Some(&quote) {
            return Some(at);
        }
        at += 1;
    }
}

/// The length of a number without a sign. Letters and digits right behind belong to it, so that it is refused.
fn number_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    while let Some(byte) = bytes.get(length) {
        let is_sign = matches!(byte, b'+' | b'-') && matches!(bytes[length.saturating_sub(1)], b'e' | b'E');
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || (is_sign && length > 0)) {
            break;
        }
        length += 1;
    }
    length
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
