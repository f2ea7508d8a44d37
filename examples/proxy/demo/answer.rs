//! What the demo says, and in how many tokens.

use std::time::Duration;

use super::{call::Call, fault::Fault, prompt};

/// How long a model thinks before its first token.
pub(super) const THINKING: Duration = Duration::from_millis(1500);

/// What one token adds to the time of an answer that is sent in one piece.
const TOKEN: Duration = Duration::from_millis(20);

/// A quoted question is cut after this many characters.
const LONGEST_QUOTE: usize = 160;

/// Models write `n` answers side by side, but not any number of them.
pub(super) const MOST_CHOICES: usize = 128;

/// One answer, in tokens.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) pieces: Vec<String>,
    /// Whether it ended at a token limit and not by itself.
    pub(super) is_cut_short: bool,
}

impl Answer {
    /// The only answer to `question`, in at most `limit` tokens.
    pub(super) fn new(call: &Call, question: &str, limit: Option<usize>) -> Self {
        Self::choice(call, question, limit, "")
    }

    /// `count` answers to the same question, each of which says which one it is.
    pub(super) fn choices(call: &Call, question: &str, limit: Option<usize>, count: usize) -> Vec<Self> {
        if count == 1 {
            return vec![Self::new(call, question, limit)];
        }
        (1..=count)
            .map(|choice| Self::choice(call, question, limit, &format!(" (choice {choice} of {count})")))
            .collect()
    }

    fn choice(call: &Call, question: &str, limit: Option<usize>, which: &str) -> Self {
        let number = call.number;
        let quote = match question.char_indices().nth(LONGEST_QUOTE) {
            Some((end, _)) => format!("{}…", &question[..end]),
            None => question.to_owned(),
        };
        let text = format!(
            "demo answer #{number}{which} to: \"{quote}\". It was written just now, token by token, and counted. \
             Ask the same again: if the number is still {number}, the answer came out of the larder."
        );
        let mut pieces: Vec<String> = prompt::pieces(&text).into_iter().map(str::to_owned).collect();
        let asked_for = (call.fault == Some(Fault::Length)).then_some(pieces.len() / 2);
        let most = [limit, asked_for].into_iter().flatten().min().unwrap_or(usize::MAX).max(1);
        let is_cut_short = pieces.len() > most;
        pieces.truncate(most);
        Self { pieces, is_cut_short }
    }

    pub(super) fn text(&self) -> String {
        self.pieces.concat()
    }

    /// OpenAI's word for how it ended.
    pub(super) fn finish_reason(&self) -> &'static str {
        if self.is_cut_short { "length" } else { "stop" }
    }
}

/// How long it takes to write the answers, all at once.
pub(super) fn writing(answers: &[Answer]) -> Duration {
    let longest = answers.iter().map(|answer| answer.pieces.len()).max().unwrap_or(0);
    TOKEN * u32::try_from(longest).unwrap_or(u32::MAX)
}

/// The length of all answers together, in tokens.
pub(super) fn length(answers: &[Answer]) -> usize {
    answers.iter().map(|answer| answer.pieces.len()).sum()
}

/// The answers' tokens in the order in which they are written: the first of each, the second of each, and so on.
pub(super) fn rounds(answers: &[Answer]) -> impl Iterator<Item = impl Iterator<Item = (usize, &str)>> {
    let longest = answers.iter().map(|answer| answer.pieces.len()).max().unwrap_or(0);
    (0..longest).map(move |round| {
        let pieces = answers.iter().map(move |answer| answer.pieces.get(round));
        pieces.enumerate().filter_map(|(index, piece)| Some((index, piece?.as_str())))
    })
}
