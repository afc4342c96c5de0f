//! The machine that runs a pickle: a stack with marks, and a memo. It makes values and calls nothing.

use super::text;
use std::collections::HashMap;
use std::ops::Range;

/// Values, memo entries and stack places that a pickle may use; CIFAR-100 needs about 250,000.
pub(super) const MAX_VALUES: usize = 2_000_000;

/// Names that a pickle of arrays may use, each with its meaning; `_core` since numpy 2.
const NAMES: [(&str, Name); 7] = [
    ("numpy.core.multiarray _reconstruct", Name::Array),
    ("numpy._core.multiarray _reconstruct", Name::Array),
    ("numpy.core.numeric _frombuffer", Name::Buffer),
    ("numpy._core.numeric _frombuffer", Name::Buffer),
    ("numpy ndarray", Name::Class),
    ("numpy dtype", Name::Type),
    ("_codecs encode", Name::Encode),
];

/// The meaning of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// An array that receives its elements as its state.
    Array,
    /// An array of a buffer, since protocol 5.
    Buffer,
    /// The class of arrays.
    Class,
    /// The type of elements.
    Type,
    /// Python 3's form of bytes in protocols before 3: a text with a character for each.
    Encode,
}

/// A value's index in the arena.
pub(super) type Id = u32;

#[derive(Debug)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// A string or bytes: its place in the file.
    Bytes(Range<usize>),
    /// A string or bytes that are written in another form.
    Decoded(Vec<u8>),
    /// A list or a tuple.
    Sequence(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Name(Name),
    /// The result of calling `name` with `args`, and the state that it would receive.
    Object {
        name: Id,
        args: Id,
        state: Option<Id>,
    },
}

/// The pickle machine: a stack with marks, and a memo.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0, values: vec![], stack: vec![], marks: vec![], memo: HashMap::new() }
    }

    /// Runs the program; returns all values, and the index of the pickle's own.
    pub(super) fn run(mut self) -> Result<(Vec<Value>, Id), String> {
        loop {
            let opcode = self.take(1)?;
            let opcode = self.bytes[opcode.start];
            if opcode == b'.' {
                let root = self.pop()?;
                return Ok((self.values, root));
            }
            self.step(opcode)?;
            if self.values.len().max(self.stack.len()).max(self.marks.len()).max(self.memo.len()) > MAX_VALUES
            {
                return Err(format!("more than {MAX_VALUES} values"));
            }
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            0x80 => self.take(1).map(drop),                       // PROTO
            0x95 => self.take(8).map(drop),                       // FRAME
            b'(' => self.mark(),                                  // MARK
            b'0' => self.pop().map(drop),                         // POP
            b'1' => self.pop_mark().map(drop),                    // POP_MARK
            b'q' => self.number(1).and_then(|key| self.put(key)), // BINPUT
            b'r' => self.number(4).and_then(|key| self.put(key)), // LONG_BINPUT
            0x94 => self.put(self.memo.len() as u64),             // MEMOIZE
            b'h' => self.number(1).and_then(|key| self.get(key)), // BINGET
            b'j' => self.number(4).and_then(|key| self.get(key)), // LONG_BINGET
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'K' => self.number(1).and_then(|n| self.push(Value::Int(n as i64))), // BININT1
            b'M' => self.number(2).and_then(|n| self.push(Value::Int(n as i64))), // BININT2
            b'J' => self.number(4).and_then(|n| self.push(Value::Int(n as u32 as i32 as i64))), // BININT
            0x8a => self.long(),                                                  // LONG1
            b'G' => self.take(8).and_then(|_| self.push(Value::None)), // BINFLOAT: no field of ours is one
            b'U' | b'C' | 0x8c => self.string(1), // SHORT_BINSTRING, SHORT_BINBYTES, SHORT_BINUNICODE
            b'T' | b'B' | b'X' => self.string(4), // BINSTRING, BINBYTES, BINUNICODE
            0x8d | 0x8e | 0x96 => self.string(8), // BINUNICODE8, BINBYTES8, BYTEARRAY8
            b'I' | b'L' => self.decimal(),        // INT, LONG
            b'F' => self.line().and_then(|_| self.push(Value::None)), // FLOAT
            b'S' => self.decoded(text::quoted),   // STRING
            b'V' => self.decoded(text::raw_unicode), // UNICODE
            b'p' => self.key().and_then(|key| self.put(key)), // PUT
            b'g' => self.key().and_then(|key| self.get(key)), // GET
            b'd' => self.dict(),                  // DICT
            b')' | b']' => self.push(Value::Sequence(vec![])), // EMPTY_TUPLE, EMPTY_LIST
            0x85..=0x87 => self.tuple(opcode as usize - 0x84), // TUPLE1 to TUPLE3
            b't' | b'l' => self.pop_mark().and_then(|items| self.push(Value::Sequence(items))), // TUPLE, LIST
            b'a' => self.pop().and_then(|item| self.extend(vec![item])), // APPEND
            b'e' => self.pop_mark().and_then(|items| self.extend(items)), // APPENDS
            b'}' => self.push(Value::Dict(vec![])), // EMPTY_DICT
            b's' => self.pop_last(2).and_then(|items| self.set_items(items)), // SETITEM
            b'u' => self.pop_mark().and_then(|items| self.set_items(items)), // SETITEMS
            b'c' => self.global(),                // GLOBAL
            0x93 => self.stack_global(),          // STACK_GLOBAL
            b'R' => self.reduce(),                // REDUCE
            b'b' => self.build(),                 // BUILD
            other => {
                Err(format!("opcode {:?} at byte {}, which no CIFAR pickle has", other as char, self.at - 1))
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<Range<usize>, String> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| {
            format!("the end of the file at byte {}, in the middle of a value", self.bytes.len())
        })?;
        let range = self.at..end;
        self.at = end;
        Ok(range)
    }

    /// A little-endian number of up to 8 bytes.
    fn number(&mut self, bytes: usize) -> Result<u64, String> {
        let range = self.take(bytes)?;
        Ok(self.bytes[range].iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte)))
    }

    fn long(&mut self) -> Result<(), String> {
        let bytes = self.number(1)? as usize;
        if bytes > 8 {
            return Err(format!("a number of {bytes} bytes at byte {}", self.at));
        }
        let shift = 64 - 8 * bytes as u32;
        let n = self.number(bytes)?;
        self.push(Value::Int(if bytes == 0 { 0 } else { (n << shift) as i64 >> shift }))
    }

    fn string(&mut self, length_bytes: usize) -> Result<(), String> {
        let length = self.number(length_bytes)?;
        let range = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        self.push(Value::Bytes(range))
    }

    /// A number in a line of its own; Python 2 ends a long one with L.
    fn decimal(&mut self) -> Result<(), String> {
        let line = self.line()?;
        match &self.bytes[line.clone()] {
            b"00" => self.push(Value::Bool(false)),
            b"01" => self.push(Value::Bool(true)),
            digits => {
                let text = std::str::from_utf8(digits).ok().map(|text| text.trim_end_matches('L'));
                let number = text.and_then(|text| text.parse().ok());
                let number = number.ok_or_else(|| format!("no number at byte {}", line.start))?;
                self.push(Value::Int(number))
            }
        }
    }

    /// A string in a line of its own.
    fn decoded(&mut self, decode: fn(&[u8]) -> Option<Vec<u8>>) -> Result<(), String> {
        let line = self.line()?;
        let bytes = decode(&self.bytes[line.clone()]);
        let bytes = bytes.ok_or_else(|| format!("no string at byte {}", line.start))?;
        self.push(Value::Decoded(bytes))
    }

    /// The memo's key in a line of its own.
    fn key(&mut self) -> Result<u64, String> {
        let line = self.line()?;
        let text = std::str::from_utf8(&self.bytes[line.clone()]).ok();
        text.and_then(|text| text.parse().ok())
            .ok_or_else(|| format!("no key of the memo at byte {}", line.start))
    }

    fn dict(&mut self) -> Result<(), String> {
        let items = self.pop_mark()?;
        self.push(Value::Dict(items.as_chunks().0.iter().map(|&[key, value]| (key, value)).collect()))
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        self.stack.push(self.values.len() as Id);
        self.values.push(value);
        Ok(())
    }

    fn mark(&mut self) -> Result<(), String> {
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn underflow(&self) -> String {
        format!("an empty stack at byte {}", self.at)
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(|| self.underflow())
    }

    fn pop_last(&mut self, count: usize) -> Result<Vec<Id>, String> {
        let from = self.stack.len().checked_sub(count).ok_or_else(|| self.underflow())?;
        Ok(self.stack.split_off(from))
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        Ok(self.stack.split_off(mark.ok_or_else(|| self.underflow())?))
    }

    fn top(&mut self) -> Result<&mut Value, String> {
        let top = *self.stack.last().ok_or_else(|| self.underflow())?;
        Ok(&mut self.values[top as usize])
    }

    fn put(&mut self, key: u64) -> Result<(), String> {
        let top = *self.stack.last().ok_or_else(|| self.underflow())?;
        self.memo.insert(key as u32, top);
        Ok(())
    }

    fn get(&mut self, key: u64) -> Result<(), String> {
        let id = self
            .memo
            .get(&(key as u32))
            .ok_or_else(|| format!("memo {key}, never set, at byte {}", self.at))?;
        self.stack.push(*id);
        Ok(())
    }

    fn tuple(&mut self, count: usize) -> Result<(), String> {
        let items = self.pop_last(count)?;
        self.push(Value::Sequence(items))
    }

    fn extend(&mut self, items: Vec<Id>) -> Result<(), String> {
        let at = self.at;
        match self.top()? {
            Value::Sequence(list) => list.extend(items),
            _ => return Err(format!("items appended to something that is not a list at byte {at}")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: Vec<Id>) -> Result<(), String> {
        let at = self.at;
        match self.top()? {
            Value::Dict(dict) => dict.extend(items.as_chunks().0.iter().map(|&[key, value]| (key, value))),
            _ => return Err(format!("keys set in something that is not a dict at byte {at}")),
        }
        Ok(())
    }

    fn line(&mut self) -> Result<Range<usize>, String> {
        let length = self.bytes[self.at..].iter().position(|&b| b == b'\n');
        let range = self.take(length.ok_or("a name without its end")?)?;
        self.take(1)?;
        Ok(range)
    }

    fn global(&mut self) -> Result<(), String> {
        let (module, name) = (self.line()?, self.line()?);
        self.push_name(module, name)
    }

    fn stack_global(&mut self) -> Result<(), String> {
        let names = self.pop_last(2)?;
        match (&self.values[names[0] as usize], &self.values[names[1] as usize]) {
            (Value::Bytes(module), Value::Bytes(name)) => self.push_name(module.clone(), name.clone()),
            _ => Err(format!("a name that is not a string at byte {}", self.at)),
        }
    }

    fn push_name(&mut self, module: Range<usize>, name: Range<usize>) -> Result<(), String> {
        let text = |range: Range<usize>| String::from_utf8_lossy(&self.bytes[range]).into_owned();
        let full = format!("{} {}", text(module), text(name));
        let known = NAMES.iter().find(|(known, _)| *known == full).map(|(_, name)| *name);
        let known = known
            .ok_or_else(|| format!("the name {:?}: only numpy arrays are read", full.replace(' ', ".")))?;
        self.push(Value::Name(known))
    }

    fn reduce(&mut self) -> Result<(), String> {
        let call = self.pop_last(2)?;
        let (name, args) = (call[0], call[1]);
        match self.values[name as usize] {
            Value::Name(Name::Encode) => self.encode(args),
            Value::Name(_) => self.push(Value::Object { name, args, state: None }),
            _ => Err(format!("a call of something that is not a name at byte {}", self.at)),
        }
    }

    /// The bytes that a text encodes.
    fn encode(&mut self, args: Id) -> Result<(), String> {
        let at = self.at;
        let text = |id: &Id| match &self.values[*id as usize] {
            Value::Bytes(range) => text::latin1(&self.bytes[range.clone()]),
            Value::Decoded(bytes) => text::latin1(bytes),
            _ => None,
        };
        let bytes = match &self.values[args as usize] {
            Value::Sequence(args) => args.first().and_then(text),
            _ => None,
        };
        self.push(Value::Decoded(bytes.ok_or_else(|| format!("no text to encode at byte {at}"))?))
    }

    fn build(&mut self) -> Result<(), String> {
        let (new, at) = (self.pop()?, self.at);
        match self.top()? {
            Value::Object { state, .. } => *state = Some(new),
            _ => return Err(format!("a state given to something that is not an object at byte {at}")),
        }
        Ok(())
    }
}
