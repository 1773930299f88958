//! Messages of protobuf, as far as they are needed: numbers and whatever has a length.

/// A field of a message.
pub struct Field<'a> {
    /// Its number.
    pub number: u64,
    /// What it holds, if that has a length.
    pub bytes: &'a [u8],
    /// What it holds, if that is a number.
    pub value: u64,
}

/// All fields, in order; none of a message that is cut off.
pub fn fields(mut message: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = number(&mut message)?;
        let (mut bytes, mut value) = (&[][..], 0);
        match key & 7 {
            0 => value = number(&mut message)?,
            1 => message = message.get(8..)?,
            2 => {
                let length = usize::try_from(number(&mut message)?).ok()?;
                (bytes, message) = message.split_at_checked(length)?;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
        found.push(Field {
            number: key >> 3,
            bytes,
            value,
        });
    }
    Some(found)
}

/// Adds a field that has a length.
pub fn put(message: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(message, field << 3 | 2);
    put_varint(message, bytes.len() as u64);
    message.extend(bytes);
}

/// Adds a number.
pub fn put_number(message: &mut Vec<u8>, field: u64, value: u64) {
    put_varint(message, field << 3);
    put_varint(message, value);
}

fn put_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    message.push(value.to_le_bytes()[0]);
}

fn number(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_found() {
        let mut message = Vec::new();
        put(&mut message, 8, &[7; 300]);
        put_number(&mut message, 2, 8);
        put(&mut message, 1, b"");
        let found = fields(&message).unwrap();
        let all: Vec<(u64, usize, u64)> = found
            .iter()
            .map(|it| (it.number, it.bytes.len(), it.value))
            .collect();
        assert_eq!(all, [(8, 300, 0), (2, 0, 8), (1, 0, 0)]);
        assert!(fields(&message[..200]).is_none());
    }
}
