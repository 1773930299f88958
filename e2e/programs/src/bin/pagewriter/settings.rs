//! What the command line says.

use crate::Failure;

/// The most processes, and the most writers in each: the board has room for that many.
pub(crate) const MOST: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Any page is as likely as any other.
    Uniform,
    /// Nine of ten writes go to one tenth.
    Hot,
    /// One after the other, then from the beginning.
    Append,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rate {
    /// Bytes in a second.
    Paced(u64),
    /// As fast as it goes.
    Max,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// 0: any.
    pub(crate) port: u16,
    /// Bytes.
    pub(crate) memory: u64,
    pub(crate) rate: Rate,
    pub(crate) pattern: Pattern,
    pub(crate) threads: usize,
    pub(crate) processes: usize,
    /// Pages in a second.
    pub(crate) look: u64,
    pub(crate) churn: bool,
    /// Bytes.
    pub(crate) thirds: u64,
}

impl Settings {
    pub(crate) fn parse(words: &[String]) -> Result<Self, Failure> {
        let [port, pairs @ ..] = words else {
            return Err("call it: pagewriter PORT [NAME=VALUE…]".into());
        };
        let mut settings = Self {
            port: port.parse().map_err(|_| format!("{port} is no port"))?,
            memory: 64 << 20,
            rate: Rate::Paced(10 << 20),
            pattern: Pattern::Uniform,
            threads: 2,
            processes: 1,
            look: 2000,
            churn: false,
            thirds: 0,
        };
        for pair in pairs {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("{pair} is not NAME=VALUE"))?;
            match name {
                "memory" => settings.memory = bytes(value)?,
                "rate" if value == "max" => settings.rate = Rate::Max,
                "rate" => settings.rate = Rate::Paced(bytes(value)?),
                "pattern" => settings.pattern = pattern(value)?,
                "threads" => settings.threads = few(value)?,
                "processes" => settings.processes = few(value)?,
                "look" => settings.look = bytes(value)?,
                "churn" => settings.churn = value == "yes",
                "thirds" => settings.thirds = bytes(value)?,
                _ => return Err(format!("{name} is no setting").into()),
            }
        }
        Ok(settings)
    }
}

fn pattern(word: &str) -> Result<Pattern, Failure> {
    match word {
        "uniform" => Ok(Pattern::Uniform),
        "hot" => Ok(Pattern::Hot),
        "append" => Ok(Pattern::Append),
        _ => Err(format!("{word} is no pattern").into()),
    }
}

fn few(word: &str) -> Result<usize, Failure> {
    word.parse()
        .ok()
        .filter(|count| (1..=MOST).contains(count))
        .ok_or_else(|| format!("{word} is not between 1 and {MOST}").into())
}

/// `64M`: binary multiples.
fn bytes(word: &str) -> Result<u64, Failure> {
    let (digits, shift) = match word.as_bytes().last() {
        Some(b'K') => (&word[..word.len() - 1], 10),
        Some(b'M') => (&word[..word.len() - 1], 20),
        Some(b'G') => (&word[..word.len() - 1], 30),
        _ => (word, 0),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| format!("{word} is no size").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Settings, Failure> {
        Settings::parse(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn words_become_settings() {
        let settings = parse(&[
            "7000",
            "memory=4G",
            "rate=max",
            "pattern=hot",
            "churn=yes",
            "threads=3",
        ])
        .unwrap();
        assert_eq!((settings.memory, settings.rate), (4 << 30, Rate::Max));
        assert_eq!(
            (settings.pattern, settings.threads, settings.churn),
            (Pattern::Hot, 3, true)
        );
        assert_eq!(parse(&["7000", "rate=50M"]).unwrap().rate, Rate::Paced(50 << 20));
    }

    #[test]
    fn nonsense_is_refused() {
        for words in [
            &["x"][..],
            &["1", "memory"],
            &["1", "memory=1Q"],
            &["1", "threads=0"],
            &["1", "threads=17"],
            &["1", "what=1"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
