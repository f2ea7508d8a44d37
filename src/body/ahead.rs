//! [`Ahead`]: what of a body was read before it is handed on.

use std::{collections::VecDeque, mem};

/// A queue that takes no memory of its own for one piece, which is what most bodies come in.
#[derive(Clone, Debug, Default)]
pub(crate) enum Ahead<T> {
    #[default]
    Empty,
    One(T),
    More(VecDeque<T>),
}

impl<T> Ahead<T> {
    pub(crate) fn push_back(&mut self, piece: T) {
        match self {
            Self::Empty => *self = Self::One(piece),
            Self::One(_) => self.queue().push_back(piece),
            Self::More(queue) => queue.push_back(piece),
        }
    }

    pub(crate) fn push_front(&mut self, piece: T) {
        match self {
            Self::Empty => *self = Self::One(piece),
            Self::One(_) => self.queue().push_front(piece),
            Self::More(queue) => queue.push_front(piece),
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        match self {
            Self::More(queue) => queue.pop_front(),
            Self::Empty | Self::One(_) => match mem::take(self) {
                Self::One(piece) => Some(piece),
                Self::Empty | Self::More(_) => None,
            },
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, more) = match self {
            Self::Empty => (None, None),
            Self::One(piece) => (Some(piece), None),
            Self::More(queue) => (None, Some(queue)),
        };
        one.into_iter().chain(more.into_iter().flatten())
    }

    pub(crate) fn last(&self) -> Option<&T> {
        match self {
            Self::Empty => None,
            Self::One(piece) => Some(piece),
            Self::More(queue) => queue.back(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(_) => 1,
            Self::More(queue) => queue.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same as a queue.
    fn queue(&mut self) -> &mut VecDeque<T> {
        if !matches!(self, Self::More(_)) {
            let mut queue = VecDeque::with_capacity(4);
            queue.extend(self.pop_front());
            *self = Self::More(queue);
        }
        match self {
            Self::More(queue) => queue,
            Self::Empty | Self::One(_) => unreachable!("it was made one"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_out_in_their_order() {
        let mut ahead = Ahead::default();
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
