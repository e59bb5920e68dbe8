//! What is read of an X.509 certificate (RFC 5280 §4.1) beyond what rustls shows: names as libpq
//! compares them, the times of its life, and the parts that a signature is checked with.
//!
//! rustls-webpki knows neither common names nor certificates of X.509 version 1, and the recipe in
//! Postgres's own documentation (§19.9.5) makes certificates that have both.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The parts of a certificate, borrowed from its DER.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Certificate<'a> {
    /// What is signed, with its tag and length.
    pub(super) signed: &'a [u8],
    /// 1 to 3.
    pub(super) version: u8,
    /// A Name with its tag and length; two are of one party when their bytes are the same.
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    /// Seconds since 1970.
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) key: Key<'a>,
    /// What the extension basicConstraints says, where there is one.
    pub(super) is_authority: Option<bool>,
    /// There is an extension nameConstraints.
    pub(super) constrains_names: bool,
    /// The entries of the extension subjectAltName that are of use here.
    pub(super) alternatives: Vec<Alternative<'a>>,
    /// The algorithm of the issuer's signature, without tag and length.
    pub(super) signature_algorithm: &'a [u8],
    pub(super) signature: &'a [u8],
}

/// A public key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Key<'a> {
    /// The whole SubjectPublicKeyInfo.
    pub(super) info: &'a [u8],
    /// Its algorithm, without tag and length.
    pub(super) algorithm: &'a [u8],
    /// The key itself.
    pub(super) bits: &'a [u8],
}

/// An alternative name of the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alternative<'a> {
    /// dNSName, in whatever bytes the issuer has written.
    Name(&'a [u8]),
    /// iPAddress, 4 or 16 bytes unless the issuer erred.
    Address(&'a [u8]),
}

/// The bytes are not a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT: u8 = 0x06;
const BOOLEAN: u8 = 0x01;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03]; // 2.5.4.3
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13]; // 2.5.29.19
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e]; // 2.5.29.30
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11]; // 2.5.29.17

impl<'a> Certificate<'a> {
    /// Reads the DER of a whole certificate.
    pub(super) fn parse(der: &'a [u8]) -> Result<Certificate<'a>, Malformed> {
        let mut outside = Reader(Reader(der).expect(SEQUENCE)?);
        let signed = outside.whole(SEQUENCE)?;
        let signature_algorithm = outside.expect(SEQUENCE)?;
        let signature = outside.bits()?;
        let mut inside = Reader(Reader(signed).expect(SEQUENCE)?);
        let version = match inside.optional(0xa0)? {
            None => 1,
            Some(version) => match Reader(version).expect(INTEGER)? {
                [number @ 0..=2] => number + 1,
                _ => return Err(Malformed),
            },
        };
        inside.expect(INTEGER)?; // the serial number
        inside.expect(SEQUENCE)?; // the signature's algorithm once more
        let issuer = inside.whole(SEQUENCE)?;
        let mut life = Reader(inside.expect(SEQUENCE)?);
        let (not_before, not_after) = (life.time()?, life.time()?);
        let subject = inside.whole(SEQUENCE)?;
        let info = inside.whole(SEQUENCE)?;
        let mut key = Reader(Reader(info).expect(SEQUENCE)?);
        let key = Key {
            info,
            algorithm: key.expect(SEQUENCE)?,
            bits: key.bits()?,
        };
        let mut certificate = Certificate {
            signed,
            version,
            issuer,
            subject,
            not_before,
            not_after,
            key,
            is_authority: None,
            constrains_names: false,
            alternatives: Vec::new(),
            signature_algorithm,
            signature,
        };
        // Two identifiers that nobody uses may stand before the extensions.
        inside.optional(0x81)?;
        inside.optional(0x82)?;
        if let Some(extensions) = inside.optional(0xa3)? {
            certificate.read_extensions(Reader(Reader(extensions).expect(SEQUENCE)?))?;
        }
        Ok(certificate)
    }

    fn read_extensions(&mut self, mut extensions: Reader<'a>) -> Result<(), Malformed> {
        while !extensions.0.is_empty() {
            let mut extension = Reader(extensions.expect(SEQUENCE)?);
            let identifier = extension.expect(OBJECT)?;
            extension.optional(BOOLEAN)?; // whether it is critical
            let value = extension.expect(OCTET_STRING)?;
            if identifier == BASIC_CONSTRAINTS {
                let constraints = Reader(value).expect(SEQUENCE)?;
                let authority = Reader(constraints).optional(BOOLEAN)?;
                self.is_authority = Some(authority.is_some_and(|value| value != [0]));
            } else if identifier == NAME_CONSTRAINTS {
                self.constrains_names = true;
            } else if identifier == SUBJECT_ALTERNATIVE_NAME {
                let mut names = Reader(Reader(value).expect(SEQUENCE)?);
                while !names.0.is_empty() {
                    match names.next()? {
                        (0x82, name, _) => self.alternatives.push(Alternative::Name(name)),
                        (0x87, address, _) => self.alternatives.push(Alternative::Address(address)),
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether it may vouch for others: an authority by its own word, or of the version that had no
    /// words for it.
    pub(super) fn may_issue(&self) -> bool {
        self.is_authority.unwrap_or(self.version == 1)
    }
}

/// The first common name of a Name, in whatever bytes the issuer has written.
pub(super) fn common_name(name: &[u8]) -> Option<&[u8]> {
    let mut parts = Reader(Reader(name).expect(SEQUENCE).ok()?);
    while !parts.0.is_empty() {
        let mut alternatives = Reader(parts.expect(SET).ok()?);
        while !alternatives.0.is_empty() {
            let mut pair = Reader(alternatives.expect(SEQUENCE).ok()?);
            if pair.expect(OBJECT).ok()? == COMMON_NAME {
                return pair.next().ok().map(|(_, value, _)| value);
            }
        }
    }
    None
}

/// The elements of some DER, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next element: its tag, its contents, and all of it.
    pub(super) fn next(&mut self) -> Result<(u8, &'a [u8], &'a [u8]), Malformed> {
        let [tag, first, rest @ ..] = self.0 else {
            return Err(Malformed);
        };
        let (length, head) = match usize::from(*first) {
            short @ 0..=0x7f => (short, 2),
            // A length of up to four bytes follows; no certificate is longer.
            long @ 0x81..=0x84 => {
                let bytes = rest.get(..long - 0x80).ok_or(Malformed)?;
                let length = bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                (length, 2 + bytes.len())
            }
            _ => return Err(Malformed),
        };
        let end = head.checked_add(length).ok_or(Malformed)?;
        let whole = self.0.get(..end).ok_or(Malformed)?;
        self.0 = &self.0[end..];
        Ok((*tag, &whole[head..], whole))
    }

    /// The contents of the next element, which has to have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        self.optional(tag)?.ok_or(Malformed)
    }

    /// The contents of the next element if it has this tag; otherwise it stays.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Malformed> {
        match self.0.first() == Some(&tag) {
            true => self.next().map(|(_, contents, _)| Some(contents)),
            false => Ok(None),
        }
    }

    fn whole(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        match self.next()? {
            (found, _, whole) if found == tag => Ok(whole),
            _ => Err(Malformed),
        }
    }

    /// A bit string of whole bytes.
    fn bits(&mut self) -> Result<&'a [u8], Malformed> {
        match self.expect(BIT_STRING)? {
            [0, bytes @ ..] => Ok(bytes),
            _ => Err(Malformed),
        }
    }

    /// `YYMMDDhhmmssZ` until 2049, `YYYYMMDDhhmmssZ` after it (RFC 5280 §4.1.2.5).
    fn time(&mut self) -> Result<i64, Malformed> {
        let (tag, text, _) = self.next()?;
        let year_digits = match tag {
            UTC_TIME => 2,
            GENERALIZED_TIME => 4,
            _ => return Err(Malformed),
        };
        let digits = text.strip_suffix(b"Z").ok_or(Malformed)?;
        if digits.len() != year_digits + 10 || !digits.iter().all(u8::is_ascii_digit) {
            return Err(Malformed);
        }
        let number = |digits: &[u8]| {
            digits
                .iter()
                .fold(0, |sum, digit| sum * 10 + i16::from(digit - b'0'))
        };
        let (year, rest) = digits.split_at(year_digits);
        let year = match number(year) {
            short @ 0..50 if tag == UTC_TIME => 2000 + short,
            short if tag == UTC_TIME => 1900 + short,
            year => year,
        };
        let two = |index: usize| number(&rest[2 * index..2 * index + 2]) as i8;
        let time = DateTime::new(year, two(0), two(1), two(2), two(3), two(4), 0);
        let time = time.and_then(|time| TimeZone::UTC.to_timestamp(time));
        time.map(Timestamp::as_second).map_err(|_| Malformed)
    }
}

#[cfg(test)]
mod tests;
