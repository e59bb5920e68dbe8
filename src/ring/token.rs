//! What a completion is about: `user_data` of every entry that is handed to the kernel.
//!
//! A token carries the kind of the operation, the slot that it belongs to and the slot's
//! generation at the time. A slot's generation moves on when the slot is freed, so that a
//! completion that arrives late is recognised as one of a socket that is gone and can't reach the
//! socket that has the slot, or the descriptor, today.

/// What was asked of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Operation {
    /// Multishot accept on a listener.
    Accept = 1,
    /// Multishot receive into the provided buffers.
    Receive = 2,
    /// One send of a socket's output.
    Send = 3,
    /// Connecting a socket.
    Connect = 4,
    /// Multishot poll of the control thread's eventfd.
    Event = 5,
    /// A cancellation, on behalf of what is in the slot. What it cancelled completes by itself.
    Cancel = 6,
    /// Closing a descriptor whose last operation has completed.
    Close = 7,
}

/// Kind, generation and slot in one word: 8, 24 and 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) operation: Operation,
    pub(super) generation: u32,
    pub(super) slot: u32,
}

/// Generations wrap at 24 bits: a completion would have to be late by 16 million reuses of one slot.
pub(super) const GENERATION_MASK: u32 = 0x00ff_ffff;

impl Token {
    pub(super) fn encode(self) -> u64 {
        u64::from(self.operation as u8) << 56
            | u64::from(self.generation & GENERATION_MASK) << 32
            | u64::from(self.slot)
    }

    /// `None` for a word that `encode` never made.
    pub(super) fn decode(word: u64) -> Option<Token> {
        let operation = match word >> 56 {
            1 => Operation::Accept,
            2 => Operation::Receive,
            3 => Operation::Send,
            4 => Operation::Connect,
            5 => Operation::Event,
            6 => Operation::Cancel,
            7 => Operation::Close,
            _ => return None,
        };
        Some(Token {
            operation,
            generation: (word >> 32) as u32 & GENERATION_MASK,
            slot: word as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_token_survives_its_word(kind in 1u8..=7, generation in 0..=GENERATION_MASK, slot: u32) {
            let word = u64::from(kind) << 56 | u64::from(generation) << 32 | u64::from(slot);
            let token = Token::decode(word).expect("a known kind");
            prop_assert_eq!(token.operation as u8, kind);
            prop_assert_eq!((token.generation, token.slot), (generation, slot));
            prop_assert_eq!(token.encode(), word);
        }
    }

    #[test]
    fn a_foreign_word_is_no_token() {
        assert_eq!(Token::decode(0), None);
        assert_eq!(Token::decode(u64::MAX), None);
    }
}
