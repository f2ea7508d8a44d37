//! [`Ahead`]: what of a body was read before it is handed on.

use std::collections::VecDeque;

/// A queue that takes no memory of its own for one piece, which is what most bodies come in.
#[derive(Clone, Debug)]
pub(crate) struct Ahead<T> {
    first: Option<T>,
    more: VecDeque<T>,
}

impl<T> Ahead<T> {
    pub(crate) const fn new() -> Self {
        Self { first: None, more: VecDeque::new() }
    }

    pub(crate) fn push_back(&mut self, piece: T) {
        if self.is_empty() {
            self.first = Some(piece);
        } else {
            self.more.push_back(piece);
        }
    }

    pub(crate) fn push_front(&mut self, piece: T) {
        if let Some(second) = self.first.replace(piece) {
            self.more.push_front(second);
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        self.first.take().or_else(|| self.more.pop_front())
    }

    pub(crate) fn last(&self) -> Option<&T> {
        self.more.back().or(self.first.as_ref())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.more)
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_empty()
    }
}

impl<T> Default for Ahead<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for Ahead<T> {
    fn from(piece: T) -> Self {
        Self { first: Some(piece), more: VecDeque::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_out_in_their_order() {
        let mut ahead = Ahead::new();
        (1..=3).for_each(|piece| ahead.push_back(piece));
        ahead.push_front(0);
        assert_eq!((ahead.len(), ahead.iter().copied().collect::<Vec<_>>()), (4, vec![0, 1, 2, 3]));
        assert_eq!(ahead.pop_front(), Some(0));
        ahead.push_back(4);
        ahead.push_front(9);
        assert_eq!(std::iter::from_fn(|| ahead.pop_front()).collect::<Vec<_>>(), [9, 1, 2, 3, 4]);
        assert!(ahead.is_empty());
    }
}
