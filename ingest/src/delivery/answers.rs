//! What the store answered: a reading is stored, or goes another way.

use std::sync::Arc;

use item::{Item, ItemError, Key};
use store::write::{Rejection, Written};

use super::{Delivery, Known, Sent};
use crate::{
    Error, collision,
    routes::Mapping,
    rules::{Problem, ProblemKind, Put},
};

/// A table that is deleted again and again while readings for it come in is given up after so many tries.
const TRIES_MAX: u32 = 4;

impl Delivery<'_> {
    /// Takes the answer to a reading, and to the rows that were united with it.
    pub(super) async fn answered(&mut self, mut sent: Sent, answer: Result<Written, Rejection>) -> Result<(), Error> {
        let also = std::mem::take(&mut sent.also);
        match answer {
            Ok(written) => {
                self.outcome.collisions += written.collisions.len() as u64;
                self.outcome.united += also.len() as u64;
                match written.sequence {
                    Some(_) => self.outcome.stored += 1,
                    None => self.outcome.unchanged += 1,
                }
                for sent in std::iter::once(sent).chain(also) {
                    let task = &mut self.tasks[sent.task];
                    task.waiting -= 1;
                    task.stored += 1;
                }
            }
            Err(rejection) => {
                for sent in std::iter::once(sent).chain(also) {
                    self.tasks[sent.task].waiting -= 1;
                    self.refused(sent, rejection.clone()).await?;
                }
            }
        }
        Ok(())
    }

    async fn refused(&mut self, sent: Sent, rejection: Rejection) -> Result<(), Error> {
        let Sent { task, position, conditional, mut only, tries, .. } = sent;
        let mut arrival_us = self.tasks[task].arrival_us;
        if conditional && matches!(rejection, Rejection::ConditionFailed { .. }) {
            // The clock was set back since the item of that arrival was stored: draw again.
            arrival_us = self.parts.arrive(1).saturating_sub(position as u64);
        }
        let give_up = |kind, text: String| vec![Problem { kind, text }];
        match rejection {
            Rejection::Invalid(error) => {
                let kind = match error {
                    ItemError::TooLarge { .. } => ProblemKind::TooLarge,
                    _ => ProblemKind::BadField,
                };
                self.tasks[task].add(give_up(kind, format!("with what is stored already: {error}")));
                return Ok(());
            }
            Rejection::Update(error) => {
                self.tasks[task].add(give_up(ProblemKind::BadField, error.to_string()));
                return Ok(());
            }
            Rejection::TableNotFound if tries >= TRIES_MAX => {
                self.tasks[task]
                    .add(give_up(ProblemKind::Table, "the table was deleted while a reading came in".into()));
                return Ok(());
            }
            Rejection::TableNotFound => {
                self.known.clear();
                self.trust_catalog = false;
            }
            Rejection::ConditionFailed { .. } => {}
        }
        let Some((mapping, mut put)) = self.map_again(task, position, arrival_us) else {
            self.tasks[task].add(give_up(ProblemKind::Table, "the reading could not be mapped again".into()));
            return Ok(());
        };
        if let (Rejection::ConditionFailed { .. }, Some(names)) = (rejection, &mut only) {
            // One at a time: a message may have very many readings of one large item.
            let stored = self.stored(&mapping, &put).await?;
            let colliding = collision::between(&stored, &put.item, names);
            self.outcome.collisions += colliding.len() as u64;
            for name in &colliding {
                names.remove(name);
                put.item.remove(name);
            }
            if !colliding.is_empty() {
                let text = format!("another value is stored for this device and time: {}", shown_names(&colliding));
                self.tasks[task].add(give_up(ProblemKind::Collision, text));
            }
            if names.is_empty() {
                return Ok(());
            }
        }
        self.send(task, put, &mapping, only, tries + 1).await
    }

    /// What is stored for the put's device and time; nothing if it, or its table, is gone.
    async fn stored(&mut self, mapping: &Arc<Mapping>, put: &Put) -> Result<Item, Error> {
        let Ok(at) = self.table(mapping).await? else { return Ok(Item::default()) };
        let Known { table, .. } = &self.known[at];
        let Ok(key) = Key::of_item(table, &put.item) else { return Ok(Item::default()) };
        Ok(self.parts.store.get(table, &key).await?.unwrap_or_default())
    }
}

/// Some names for people, bounded.
fn shown_names(names: &[String]) -> String {
    const SHOWN_MAX: usize = 8;
    let mut shown: Vec<String> = names.iter().take(SHOWN_MAX).map(|name| format!("`{name}`")).collect();
    if names.len() > SHOWN_MAX {
        shown.push(format!("and {} more", names.len() - SHOWN_MAX));
    }
    shown.join(", ")
}
