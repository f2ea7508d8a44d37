//! In which of several forms an answer is kept.

use std::num::NonZeroU8;

/// One of the forms in which the same answer can be sent, such as whole or as a stream of events. What each number stands for is
/// the fingerprint's own matter; it is kept with an entry, so it means the same in every release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rendering(NonZeroU8);

impl Rendering {
    /// The rendering of a number.
    #[must_use]
    pub const fn new(number: NonZeroU8) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> NonZeroU8 {
        self.0
    }
}
