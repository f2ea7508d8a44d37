//! [`Members`]: some members of a JSON object, found while the object passes.

/// The most that is kept of a member; larger ones are passed over.
const LARGEST: usize = 64 * 1024;

/// Finds members of the outermost object by their names, and keeps nothing else.
#[derive(Debug)]
pub(super) struct Members<const N: usize> {
    names: [&'static str; N],
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    /// Whether a string begins where the outermost object has a name.
    expects_name: bool,
    /// The name that is being read, as far as it can still be one of those wanted.
    name: Option<Vec<u8>>,
    /// Which of those wanted the name is that was read last.
    wanted: Option<usize>,
    /// The value that is being read.
    value: Option<Vec<u8>>,
    found: [Option<Vec<u8>>; N],
}

impl<const N: usize> Members<N> {
    pub(super) fn new(names: [&'static str; N]) -> Self {
        Self {
            names,
            depth: 0,
            in_string: false,
            is_escaped: false,
            expects_name: false,
            name: None,
            wanted: None,
            value: None,
            found: [const { None }; N],
        }
    }

    /// The JSON of the member that was named in this place, once it has passed whole: an object or a string, as all that is wanted
    /// here are.
    pub(super) fn get(&self, index: usize) -> Option<&[u8]> {
        self.found[index].as_deref()
    }

    pub(super) fn read(&mut self, data: &[u8]) {
        for byte in data {
            self.take(*byte);
        }
    }

    fn take(&mut self, byte: u8) {
        if let Some(value) = &mut self.value {
            value.push(byte);
            if value.len() > LARGEST {
                self.value = None;
            }
        }
        if self.in_string {
            self.take_in_string(byte);
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.name = (self.depth == 1 && self.expects_name).then(Vec::new);
                if self.depth == 1 && !self.expects_name && self.wanted.is_some() {
                    self.value = Some(vec![byte]);
                }
            }
            b'{' | b'[' => {
                self.depth += 1;
                self.expects_name = self.depth == 1 && byte == b'{';
                if self.depth == 2 && self.wanted.is_some() && byte == b'{' {
                    self.value = Some(vec![byte]);
                }
                if self.depth < 2 {
                    self.wanted = None;
                }
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 1 {
                    self.find();
                }
            }
            b':' if self.depth == 1 => self.expects_name = false,
            b',' if self.depth == 1 => (self.expects_name, self.wanted) = (true, None),
            _ => {}
        }
    }

    /// A value has ended.
    fn find(&mut self) {
        if let (Some(value), Some(index)) = (self.value.take(), self.wanted) {
            // The last of one name counts, as with most parsers.
            self.found[index] = Some(value);
        }
    }

    fn take_in_string(&mut self, byte: u8) {
        if self.is_escaped {
            self.is_escaped = false;
            // A name that is wanted has no need of escapes.
            self.name = None;
            return;
        }
        match byte {
            b'\\' => self.is_escaped = true,
            b'"' => {
                self.in_string = false;
                if let Some(name) = self.name.take() {
                    self.wanted = self.names.iter().position(|wanted| wanted.as_bytes() == name);
                } else if self.depth == 1 {
                    self.find();
                }
            }
            _ => {
                if let Some(name) = &mut self.name
                    && name.len() < 32
                {
                    name.push(byte);
                }
            }
        }
    }
}
