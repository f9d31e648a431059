//! Of which entries is a word made?
//!
//! Entries of up to sixteen bytes, which are nearly all, are numbers in a hash
//! table with open addressing, one table for what begins a word and one for
//! what goes on. The others lie in a map.

use std::collections::HashMap;

/// Up to sixteen bytes of which none is zero, as a number with zeros above.
/// Folded text has no zero byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    low: u64,
    high: u64,
}

impl Key {
    /// The most bytes that fit.
    pub(super) const LONGEST: usize = 16;

    const NOTHING: Self = Self { low: 0, high: 0 };

    /// The first eight bytes and the rest, the first byte lowest.
    #[inline]
    pub(super) fn of_halves(low: u64, high: u64) -> Self {
        Self { low, high }
    }

    /// Of bytes that are few enough.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let mut all = [0; Self::LONGEST];
        all.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self::from_number(u128::from_le_bytes(all)))
    }

    fn from_number(number: u128) -> Self {
        Self {
            low: number as u64,
            high: (number >> 64) as u64,
        }
    }

    fn number(self) -> u128 {
        u128::from(self.low) | u128::from(self.high) << 64
    }

    /// How many bytes it holds.
    fn len(self) -> usize {
        Self::LONGEST - self.number().leading_zeros() as usize / 8
    }

    /// Its first bytes, at least one.
    fn first(self, length: usize) -> Self {
        Self::from_number(self.number() & u128::MAX >> (8 * (Self::LONGEST - length)))
    }

    /// What is left without its first bytes, which are fewer than sixteen.
    fn without(self, length: usize) -> Self {
        Self::from_number(self.number() >> (8 * length))
    }

    /// Both halves multiplied into each other. Nothing is ever stored by it.
    fn hash(self) -> u64 {
        let low = self.low ^ 0x9e37_79b9_7f4a_7c15;
        let high = self.high ^ 0xd6e8_feb8_6659_fd93;
        let product = u128::from(low) * u128::from(high);
        product as u64 ^ (product >> 64) as u64
    }

    /// As text, for tests.
    #[cfg(test)]
    pub(super) fn text(self) -> String {
        let bytes = self.number().to_le_bytes()[..self.len()].to_vec();
        String::from_utf8(bytes).expect("a word is text")
    }
}

/// Entries of one kind: those that begin a word, or those that go on.
struct Entries {
    /// A power of two, at most half of them taken.
    slots: Vec<(Key, u32)>,
    long: HashMap<Box<[u8]>, u32>,
    /// Bytes of the longest.
    longest: usize,
}

impl Entries {
    fn new<'e>(entries: impl Iterator<Item = (&'e str, u32)> + Clone) -> Self {
        let size = (2 * entries.clone().count()).next_power_of_two();
        let mut made = Self {
            slots: vec![(Key::NOTHING, 0); size.max(2)],
            long: HashMap::new(),
            longest: 0,
        };
        for (entry, id) in entries {
            // No word holds a zero, which a key could not tell from its end.
            if entry.is_empty() || entry.contains('\0') {
                continue;
            }
            made.longest = made.longest.max(entry.len());
            match Key::of(entry.as_bytes()) {
                Some(key) => made.insert(key, id),
                None => {
                    made.long.insert(entry.as_bytes().into(), id);
                }
            }
        }
        made
    }

    fn insert(&mut self, key: Key, id: u32) {
        let mask = self.slots.len() - 1;
        let begin = key.hash() as usize;
        let free = (0..self.slots.len())
            .map(|step| begin.wrapping_add(step) & mask)
            .find(|&at| self.slots[at].0 == Key::NOTHING);
        if let Some(at) = free {
            self.slots[at] = (key, id);
        }
    }

    #[inline]
    fn get(&self, key: Key) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut at = key.hash() as usize & mask;
        // At least half of the slots are free, so this ends.
        loop {
            let &(found, id) = self.slots.get(at)?;
            if found == key {
                return Some(id);
            }
            if found == Key::NOTHING {
                return None;
            }
            at = (at + 1) & mask;
        }
    }

    /// The longest entry that a key's bytes begin with, and its length.
    fn longest_of(&self, key: Key, at_most: usize) -> Option<(usize, u32)> {
        (1..=at_most.min(self.longest))
            .rev()
            .find_map(|length| Some((length, self.get(key.first(length))?)))
    }

    /// The longest entry that these bytes begin with, and its length.
    fn longest_of_bytes(&self, bytes: &[u8]) -> Option<(usize, u32)> {
        let most = bytes.len().min(self.longest);
        let long = (Key::LONGEST + 1..=most)
            .rev()
            .find_map(|length| Some((length, *self.long.get(&bytes[..length])?)));
        long.or_else(|| {
            let most = most.min(Key::LONGEST);
            self.longest_of(Key::of(&bytes[..most])?, most)
        })
    }
}

/// All entries, and what a word is that they do not make up.
pub(super) struct Vocabulary {
    begin: Entries,
    go_on: Entries,
    unknown: u32,
    largest_id: u32,
    /// A word of more characters is unknown.
    longest_word: usize,
}

impl Vocabulary {
    /// The fewest characters that words may be allowed: so a word that fits a
    /// key is never too long.
    pub(super) const LEAST: usize = Key::LONGEST;

    /// Of entries with their numbers, those that go on beginning with `##`.
    pub(super) fn new<'e>(
        entries: impl Iterator<Item = (&'e str, u32)> + Clone,
        unknown: u32,
        longest_word: usize,
    ) -> Self {
        // A word has no `#` but where it is one, so nothing that begins with
        // two can begin a word.
        let begin = entries
            .clone()
            .filter(|(entry, _)| !entry.starts_with("##"));
        let go_on = entries
            .clone()
            .filter_map(|(entry, id)| Some((entry.strip_prefix("##")?, id)));
        Self {
            begin: Entries::new(begin),
            go_on: Entries::new(go_on),
            unknown,
            largest_id: entries.map(|(_, id)| id).max().unwrap_or_default(),
            longest_word,
        }
    }

    pub(super) fn unknown(&self) -> u32 {
        self.unknown
    }

    pub(super) fn largest_id(&self) -> u32 {
        self.largest_id
    }

    /// The tokens of a word that fits a key.
    #[inline]
    pub(super) fn short(&self, word: Key, each: &mut impl FnMut(u32)) {
        match self.begin.get(word) {
            Some(id) => each(id),
            None => self.cut(word, each),
        }
    }

    /// The tokens of a word that fits a key and is no entry.
    fn cut(&self, word: Key, each: &mut impl FnMut(u32)) {
        let length = word.len();
        let mut pieces = [0; Key::LONGEST];
        let mut count = 0;
        let mut found = self.begin.longest_of(word, length - 1);
        let mut at = 0;
        while let Some((taken, id)) = found {
            pieces[count] = id;
            count += 1;
            at += taken;
            if at == length {
                return pieces[..count].iter().copied().for_each(each);
            }
            found = self.go_on.longest_of(word.without(at), length - at);
        }
        each(self.unknown);
    }

    /// The tokens of a longer word.
    pub(super) fn long(&self, word: &str, pieces: &mut Vec<u32>, each: &mut impl FnMut(u32)) {
        // Bytes are at least as many as characters, and counted already.
        if word.len() > self.longest_word && word.chars().count() > self.longest_word {
            return each(self.unknown);
        }
        pieces.clear();
        let mut rest = word.as_bytes();
        while !rest.is_empty() {
            let entries = if pieces.is_empty() {
                &self.begin
            } else {
                &self.go_on
            };
            let Some((taken, id)) = entries.longest_of_bytes(rest) else {
                return each(self.unknown);
            };
            pieces.push(id);
            rest = &rest[taken..];
        }
        pieces.iter().copied().for_each(each);
    }
}
