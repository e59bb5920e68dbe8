//! Replies of Redis: how the bytes are split never matters, and nothing is waited for without end.

use pinion::limits;
use pinion::redis::codec::Codec;

/// All of it for one input.
pub fn check(input: &[u8]) {
    let whole = said(&[input]);
    // Every place of many bytes would take the square of them.
    let places = input.len().min(400);
    for cut in (0..=places).step_by(1 + places / 100) {
        let (first, second) = input.split_at(cut);
        are_alike(&said(&[first, second]), &whole);
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    are_alike(&said(&bytes), &whole);
    ends(input);
}

/// The replies in the words of their own library; `None` if something is none.
fn said(pieces: &[&[u8]]) -> Option<Vec<String>> {
    let (mut codec, mut replies) = (Codec::new(), Vec::new());
    for piece in pieces {
        codec.decode(piece, &mut replies).ok()?;
    }
    Some(replies.iter().map(|reply| format!("{reply:?}")).collect())
}

/// Of what is no reply the library may pass over a byte that comes alone.
fn are_alike(split: &Option<Vec<String>>, whole: &Option<Vec<String>>) {
    assert!(
        whole.is_none() || split == whole,
        "{split:?} is not {whole:?}"
    );
}

/// Whatever has begun, letters alone bring it to no good end, and not later than at the bound.
fn ends(input: &[u8]) {
    let (mut codec, mut replies) = (Codec::new(), Vec::new());
    if codec.decode(input, &mut replies).is_ok() {
        let letters = [b'a'; limits::REDIS_REPLY_BYTES_MAX + 1];
        let count = replies.len();
        assert!(codec.decode(&letters, &mut replies).is_err());
        assert_eq!(replies.len(), count);
    }
}
