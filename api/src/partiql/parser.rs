//! From tokens to a statement.
//!
//! ```text
//!   statement := select | insert | update | delete | EXISTS ( select )              then, perhaps, ;
//!   select    := SELECT columns FROM source [ WHERE condition ] [ ORDER BY name [ ASC | DESC ] { , ... } ]
//!   columns   := * | path { , path }
//!   source    := name [ . name ]
//!   insert    := INSERT INTO name VALUE map
//!   update    := UPDATE name action { action } [ WHERE condition ] [ RETURNING returned ]
//!   action    := SET path = amount { , path = amount } | REMOVE path { , path }
//!   delete    := DELETE FROM name [ WHERE condition ] [ RETURNING returned ]
//!   returned  := ( ALL | MODIFIED ) ( OLD | NEW ) *
//!   path      := name { . name | [ digits ] | [ text ] }        name := word that is no keyword | "quoted"
//! ```
//! Conditions, amounts and values are in files of their own.

mod amount;
mod condition;
mod value;

use item::{
    Value,
    expression::{Change, Condition, Path, Step},
};

use super::{
    Delete, Insert, Order, Returning, Select, Source, Statement, StatementError, Update,
    keywords::is_keyword,
    lexer::{Kind, Token, Tokens},
};

/// Clauses of other languages' SELECT.
const UNSUPPORTED: [&str; 12] =
    ["EXCEPT", "GROUP", "HAVING", "INTERSECT", "JOIN", "LEFT", "LET", "LIMIT", "OFFSET", "RIGHT", "UNION", "UNPIVOT"];

/// Parses a statement with `parameters` in the place of its `?`, of which there must be as many.
pub(crate) fn parse(text: &str, parameters: Vec<Value>) -> Result<Statement, StatementError> {
    let given = parameters.len();
    let mut parser = Parser { tokens: Tokens::cut(text), parameters: parameters.into_iter(), used: 0 };
    let statement = parser.statement()?;
    if parser.used != given {
        return Err(StatementError::refused("Number of parameters in request and statement don't match."));
    }
    let conditions = match &statement {
        Statement::Select(select) | Statement::Exists(select) => &select.conditions,
        Statement::Update(update) => &update.conditions,
        Statement::Delete(delete) => &delete.conditions,
        Statement::Insert(_) => return Ok(statement),
    };
    conditions.iter().try_for_each(Condition::check)?;
    Ok(statement)
}

struct Parser<'a> {
    tokens: Tokens<'a>,
    parameters: std::vec::IntoIter<Value>,
    /// How many `?` there were.
    used: usize,
}

impl Parser<'_> {
    fn statement(&mut self) -> Result<Statement, StatementError> {
        let statement = if self.tokens.accept_keyword("SELECT") {
            Statement::Select(self.select()?)
        } else if self.tokens.accept_keyword("INSERT") {
            Statement::Insert(self.insert()?)
        } else if self.tokens.accept_keyword("UPDATE") {
            Statement::Update(self.update()?)
        } else if self.tokens.accept_keyword("DELETE") {
            Statement::Delete(self.delete()?)
        } else if self.tokens.accept_keyword("EXISTS") {
            Statement::Exists(self.exists()?)
        } else {
            return Err(StatementError::Malformed("Expected data manipulation"));
        };
        self.tokens.accept(";");
        if self.tokens.peek().kind != Kind::End {
            return Err(self.unexpected());
        }
        Ok(statement)
    }

    fn select(&mut self) -> Result<Select, StatementError> {
        for word in ["DISTINCT", "VALUE"] {
            if self.tokens.peek().is_keyword(word) {
                return Err(StatementError::Refused(format!("Unsupported clause: SELECT {word}")));
            }
        }
        let columns = if self.tokens.accept("*") { None } else { Some(self.list(Self::column)?) };
        self.expect_keyword("FROM")?;
        let source = self.source()?;
        if self.tokens.peek().is(",") {
            return Err(StatementError::Malformed("FROM clause may only contain a single table name"));
        }
        let conditions = self.wherever()?;
        let mut order = Vec::new();
        if self.tokens.accept_keyword("ORDER") {
            self.expect_keyword("BY")?;
            order = self.list(Self::order)?;
        }
        let next = self.tokens.peek();
        if let Some(clause) = UNSUPPORTED.iter().find(|clause| next.is_keyword(clause)) {
            return Err(StatementError::Refused(format!("Unsupported clause: {clause}")));
        }
        Ok(Select { source, columns, conditions, order })
    }

    fn column(&mut self) -> Result<Path, StatementError> {
        if self.tokens.peek().kind == Kind::Word && self.tokens.look(1).is("(") {
            return Err(StatementError::refused("Unsupported operation: functions in a SELECT list"));
        }
        let path = self.path()?;
        if self.tokens.peek().is_keyword("AS") {
            return Err(StatementError::refused("Unsupported operation: aliases in a SELECT list"));
        }
        Ok(path)
    }

    fn order(&mut self) -> Result<Order, StatementError> {
        let attribute = self.name()?;
        let descending = self.tokens.accept_keyword("DESC");
        if !descending {
            self.tokens.accept_keyword("ASC");
        }
        Ok(Order { attribute, descending })
    }

    fn exists(&mut self) -> Result<Select, StatementError> {
        self.expect("(")?;
        self.expect_keyword("SELECT")?;
        let select = self.select()?;
        self.expect(")")?;
        Ok(select)
    }

    fn insert(&mut self) -> Result<Insert, StatementError> {
        self.expect_keyword("INTO")?;
        let Source { table, index } = self.source()?;
        if index.is_some() {
            return Err(StatementError::Malformed("FROM clause may only contain a single table name"));
        }
        let several = "Unsupported operation: Inserting multiple items in a single statement is not supported, use \
                       \"INSERT INTO tableName VALUE item\" instead";
        if self.tokens.peek().is_keyword("VALUES") || self.tokens.peek().is("<<") {
            return Err(StatementError::refused(several));
        }
        self.expect_keyword("VALUE")?;
        let Value::Map(item) = self.value()? else {
            return Err(StatementError::refused("Unsupported operation: only a map can be inserted"));
        };
        if self.tokens.peek().is(",") {
            return Err(StatementError::refused(several));
        }
        Ok(Insert { table, item: item::Item(item) })
    }

    fn update(&mut self) -> Result<Update, StatementError> {
        let table = self.written_table()?;
        let mut changes: Vec<(Path, Change)> = Vec::new();
        loop {
            if self.tokens.accept_keyword("SET") {
                changes.extend(self.list(Self::assignment)?);
            } else if self.tokens.accept_keyword("REMOVE") {
                changes.extend(self.list(Self::path)?.into_iter().map(|path| (path, Change::Remove)));
            } else {
                break;
            }
        }
        if changes.is_empty() {
            return Err(StatementError::Malformed("Expected data manipulation"));
        }
        let conditions = self.wherever()?;
        Ok(Update { table, changes, conditions, returning: self.returning()?.map(|(returning, _)| returning) })
    }

    fn delete(&mut self) -> Result<Delete, StatementError> {
        self.expect_keyword("FROM")?;
        let table = self.written_table()?;
        let conditions = self.wherever()?;
        let returning = match self.returning()? {
            Some((returning, words)) if returning != Returning::AllOld => {
                return Err(StatementError::Refused(format!(
                    "Invalid returning clause: RETURNING {words} *. Only RETURNING ALL OLD * is allowed in DELETE \
                     statements."
                )));
            }
            other => other.map(|(returning, _)| returning),
        };
        Ok(Delete { table, conditions, returning })
    }

    /// The table of an UPDATE or DELETE.
    fn written_table(&mut self) -> Result<String, StatementError> {
        match self.source()? {
            Source { table, index: None } => Ok(table),
            Source { index: Some(_), .. } => Err(StatementError::refused("An index can only be read")),
        }
    }

    fn source(&mut self) -> Result<Source, StatementError> {
        let table = self.name()?;
        let index = if self.tokens.accept(".") { Some(self.name()?) } else { None };
        Ok(Source { table, index })
    }

    /// A WHERE, if there is one: what AND joins at its top.
    fn wherever(&mut self) -> Result<Vec<Condition>, StatementError> {
        if self.tokens.accept_keyword("WHERE") { self.conditions() } else { Ok(Vec::new()) }
    }

    fn returning(&mut self) -> Result<Option<(Returning, &'static str)>, StatementError> {
        if !self.tokens.accept_keyword("RETURNING") {
            return Ok(None);
        }
        let all = self.one_of("ALL", "MODIFIED")?;
        let old = self.one_of("OLD", "NEW")?;
        self.expect("*")?;
        Ok(Some(match (all, old) {
            (true, true) => (Returning::AllOld, "ALL OLD"),
            (false, true) => (Returning::ModifiedOld, "MODIFIED OLD"),
            (true, false) => (Returning::AllNew, "ALL NEW"),
            (false, false) => (Returning::ModifiedNew, "MODIFIED NEW"),
        }))
    }

    /// Takes one of two keywords: is it the first?
    fn one_of(&mut self, first: &str, second: &str) -> Result<bool, StatementError> {
        if self.tokens.accept_keyword(first) {
            return Ok(true);
        }
        self.expect_keyword(second).map(|()| false)
    }

    /// One or more, parted by commas.
    fn list<T>(&mut self, one: fn(&mut Self) -> Result<T, StatementError>) -> Result<Vec<T>, StatementError> {
        let mut list = vec![one(self)?];
        while self.tokens.accept(",") {
            list.push(one(self)?);
        }
        Ok(list)
    }

    fn path(&mut self) -> Result<Path, StatementError> {
        let attribute = self.name()?;
        let mut steps = Vec::new();
        loop {
            if self.tokens.accept(".") {
                steps.push(Step::Name(self.inner_name()?));
            } else if self.tokens.accept("[") {
                let token = self.tokens.take();
                steps.push(match token.kind {
                    Kind::Number => Step::Index(token.text.parse().map_err(|_| PATH)?),
                    Kind::Text => Step::Name(token.unquoted().into_owned()),
                    _ => return Err(PATH),
                });
                self.expect("]")?;
            } else {
                return Ok(Path::new(attribute, steps));
            }
        }
    }

    fn name(&mut self) -> Result<String, StatementError> {
        match self.tokens.peek() {
            Token { kind: Kind::Word, text } if !is_keyword(text) => {
                self.tokens.take();
                Ok(text.to_owned())
            }
            Token { kind: Kind::Quoted, .. } => self.quoted(),
            _ => Err(self.unexpected()),
        }
    }

    /// A name behind a dot, which keywords may be too.
    fn inner_name(&mut self) -> Result<String, StatementError> {
        match self.tokens.peek() {
            Token { kind: Kind::Word, text } => {
                self.tokens.take();
                Ok(text.to_owned())
            }
            Token { kind: Kind::Quoted, .. } => self.quoted(),
            _ => Err(PATH),
        }
    }

    fn quoted(&mut self) -> Result<String, StatementError> {
        match self.tokens.take().unquoted() {
            name if name.is_empty() => Err(StatementError::refused("An attribute name must not be empty")),
            name => Ok(name.into_owned()),
        }
    }

    fn expect(&mut self, symbol: &str) -> Result<(), StatementError> {
        if self.tokens.accept(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn expect_keyword(&mut self, keyword: &str) -> Result<(), StatementError> {
        if self.tokens.accept_keyword(keyword) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Refuses the next token.
    fn unexpected(&self) -> StatementError {
        StatementError::Malformed(match self.tokens.peek() {
            Token { kind: Kind::Word, text } if is_keyword(text) => "Unexpected keyword",
            Token { kind: Kind::End, .. } => "Unexpected end of statement",
            Token { kind: Kind::Unknown, .. } => "Invalid character",
            _ => "Unexpected token",
        })
    }
}

const PATH: StatementError = StatementError::Malformed("A path has a part that is no name and no place in a list");
