//! What does an ONNX file say of itself, before any runtime has loaded it?
//!
//! An ONNX file is one protobuf message. Its outline, read here without the
//! weights, is enough to say in plain words that a file is no text model, to
//! choose the right one of several outputs, and to find the files that hold
//! weights kept outside.

use std::collections::BTreeSet;

/// An input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// Its name.
    pub(crate) name: String,
    /// ONNX's number for the type of its elements, where it is said.
    pub(crate) element: Option<u64>,
    /// Its dimensions, where they are said; `None` for one that may vary.
    pub(crate) shape: Option<Vec<Option<u64>>>,
}

impl Value {
    /// How many dimensions it has, where that is said.
    pub(crate) fn rank(&self) -> Option<usize> {
        self.shape.as_ref().map(Vec::len)
    }
}

/// What a graph takes and gives.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outline {
    /// What has to be given to it.
    pub(crate) inputs: Vec<Value>,
    /// What it gives, in order.
    pub(crate) outputs: Vec<Value>,
    /// Files beside it that hold weights, as the graph names them.
    pub(crate) external: BTreeSet<String>,
    /// Whether numbers are quantised by the range that a batch happens to
    /// have, so that a text's vector depends on its neighbours in the batch.
    pub(crate) depends_on_batch: bool,
}

/// ONNX's number for `float32`.
pub(crate) const FLOAT: u64 = 1;

/// Reads the outline of an ONNX file; the error says why it is none.
pub(crate) fn outline(file: &[u8]) -> Result<Outline, String> {
    let mut outline = Outline::default();
    let mut has_graph = false;
    for field in Fields(file) {
        if let (7, Content::Bytes(graph)) = field? {
            has_graph = true;
            outline.read_graph(graph, 0)?;
        }
    }
    if has_graph && !outline.outputs.is_empty() {
        Ok(outline)
    } else {
        Err("it holds no graph".to_owned())
    }
}

/// Deeper nesting of graphs than any model has.
const DEEPEST: usize = 16;

impl Outline {
    fn read_graph(&mut self, graph: &[u8], depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err("its graphs are nested too deeply".to_owned());
        }
        let mut initialised = BTreeSet::new();
        let mut inputs = Vec::new();
        for field in Fields(graph) {
            match field? {
                (1, Content::Bytes(node)) => self.read_node(node, depth)?,
                (5, Content::Bytes(tensor)) => {
                    initialised.insert(self.read_tensor(tensor)?);
                }
                (11, Content::Bytes(value)) => inputs.push(read_value(value)?),
                (12, Content::Bytes(value)) if depth == 0 => {
                    self.outputs.push(read_value(value)?);
                }
                _ => {}
            }
        }
        if depth == 0 {
            // Old files list their weights among the inputs.
            inputs.retain(|input| !initialised.contains(&input.name));
            self.inputs = inputs;
        }
        Ok(())
    }

    fn read_node(&mut self, node: &[u8], depth: usize) -> Result<(), String> {
        for field in Fields(node) {
            match field? {
                (4, Content::Bytes(operator)) => {
                    self.depends_on_batch |=
                        operator.starts_with(b"DynamicQuantize") || operator == b"MatMulInteger";
                }
                (5, Content::Bytes(attribute)) => {
                    for field in Fields(attribute) {
                        match field? {
                            (5 | 10, Content::Bytes(tensor)) => {
                                self.read_tensor(tensor)?;
                            }
                            (6 | 11, Content::Bytes(graph)) => {
                                self.read_graph(graph, depth + 1)?;
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes where a tensor's numbers are, and gives its name.
    fn read_tensor(&mut self, tensor: &[u8]) -> Result<String, String> {
        let mut name = String::new();
        for field in Fields(tensor) {
            match field? {
                (8, Content::Bytes(bytes)) => name = text(bytes)?,
                (13, Content::Bytes(entry)) => {
                    let (mut key, mut value) = (String::new(), String::new());
                    for field in Fields(entry) {
                        match field? {
                            (1, Content::Bytes(bytes)) => key = text(bytes)?,
                            (2, Content::Bytes(bytes)) => value = text(bytes)?,
                            _ => {}
                        }
                    }
                    if key == "location" {
                        self.external.insert(value);
                    }
                }
                _ => {}
            }
        }
        Ok(name)
    }
}

fn read_value(bytes: &[u8]) -> Result<Value, String> {
    let mut value = Value {
        name: String::new(),
        element: None,
        shape: None,
    };
    for field in Fields(bytes) {
        match field? {
            (1, Content::Bytes(bytes)) => value.name = text(bytes)?,
            (2, Content::Bytes(kind)) => {
                for field in Fields(kind) {
                    if let (1, Content::Bytes(tensor)) = field? {
                        (value.element, value.shape) = read_tensor_type(tensor)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(value)
}

type TensorType = (Option<u64>, Option<Vec<Option<u64>>>);

fn read_tensor_type(bytes: &[u8]) -> Result<TensorType, String> {
    let (mut element, mut shape) = (None, None);
    for field in Fields(bytes) {
        match field? {
            (1, Content::Number(number)) => element = Some(number),
            (2, Content::Bytes(bytes)) => {
                let mut dimensions = Vec::new();
                for field in Fields(bytes) {
                    if let (1, Content::Bytes(dimension)) = field? {
                        let mut size = None;
                        for field in Fields(dimension) {
                            if let (1, Content::Number(number)) = field? {
                                size = Some(number);
                            }
                        }
                        // Some exporters write 0 or −1 for "any".
                        dimensions.push(size.filter(|size| (1..1 << 32).contains(size)));
                    }
                }
                shape = Some(dimensions);
            }
            _ => {}
        }
    }
    Ok((element, shape))
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a name in it is not UTF-8".to_owned())
}

/// What a field of a protobuf message holds.
enum Content<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// The fields of a protobuf message, in order, each with its number.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u64, Content<'a>)> {
        let tag = self.number()?;
        let content = match tag & 7 {
            0 => Content::Number(self.number()?),
            1 => self.bytes(8).map(|_| Content::Fixed)?,
            2 => {
                let length = self.number()?;
                Content::Bytes(self.bytes(length)?)
            }
            5 => self.bytes(4).map(|_| Content::Fixed)?,
            _ => return None,
        };
        (tag >> 3 > 0).then_some((tag >> 3, content))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Content<'a>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or_else(|| "it is cut short, or no ONNX file".to_owned()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A field of a protobuf message that holds bytes.
    pub(crate) fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut length = content.len();
        while length >= 0x80 {
            out.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend(content);
        out
    }

    /// A named value of a type and a shape.
    pub(crate) fn value(name: &str, element: u8, dimensions: &[Option<u8>]) -> Vec<u8> {
        let dimensions: Vec<u8> = dimensions
            .iter()
            .flat_map(|size| match size {
                Some(size) => bytes(1, &[1 << 3, *size]),
                None => bytes(1, &bytes(2, b"any")),
            })
            .collect();
        let tensor = [vec![1 << 3, element], bytes(2, &dimensions)].concat();
        [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
    }

    /// A file whose graph takes and gives the named values and does nothing.
    pub(crate) fn file(inputs: &[&str], outputs: &[(&str, &[Option<u8>])]) -> Vec<u8> {
        let mut graph = Vec::new();
        for name in inputs {
            graph.extend(bytes(11, &value(name, 7, &[None, None])));
        }
        for (name, dimensions) in outputs {
            graph.extend(bytes(12, &value(name, 1, dimensions)));
        }
        [vec![1 << 3, 8], bytes(7, &graph)].concat()
    }

    #[test]
    fn inputs_outputs_and_shapes_are_read() {
        let file = file(&["input_ids"], &[("out", &[None, None, Some(7)])]);
        let outline = outline(&file).expect("an outline");
        assert_eq!(outline.inputs[0].name, "input_ids");
        assert_eq!(outline.outputs[0].name, "out");
        assert_eq!(outline.outputs[0].element, Some(FLOAT));
        assert_eq!(outline.outputs[0].shape, Some(vec![None, None, Some(7)]));
        assert!(!outline.depends_on_batch);
    }

    #[test]
    fn weights_outside_and_dynamic_quantisation_are_found_in_nested_graphs_too() {
        let location = [bytes(1, b"location"), bytes(2, b"model.onnx_data")].concat();
        let tensor = [bytes(8, b"w"), bytes(13, &location)].concat();
        let inner = bytes(
            1,
            &[
                bytes(4, b"DynamicQuantizeLinear"),
                bytes(5, &bytes(5, &tensor)),
            ]
            .concat(),
        );
        let node = [bytes(4, b"If"), bytes(5, &bytes(6, &inner))].concat();
        let graph = [bytes(1, &node), bytes(12, &value("out", 1, &[None]))].concat();
        let outline = outline(&bytes(7, &graph)).expect("an outline");
        assert_eq!(outline.external, ["model.onnx_data".to_owned()].into());
        assert!(outline.depends_on_batch);
    }

    #[test]
    fn weights_listed_as_inputs_are_no_inputs() {
        let graph = [
            bytes(5, &bytes(8, b"w")),
            bytes(11, &value("w", 1, &[])),
            bytes(11, &value("input_ids", 7, &[])),
            bytes(12, &value("out", 1, &[])),
        ]
        .concat();
        let outline = outline(&bytes(7, &graph)).expect("an outline");
        let names: Vec<_> = outline.inputs.iter().map(|input| &input.name).collect();
        assert_eq!(names, ["input_ids"]);
    }

    #[test]
    fn no_bytes_whatever_make_it_panic() {
        let whole = file(&["input_ids"], &[("out", &[None, Some(3)])]);
        for end in 0..whole.len() {
            assert!(outline(&whole[..end]).is_err(), "{end} bytes");
        }
        let mut state = 1_u32;
        for _ in 0..2_000 {
            let mut broken = whole.clone();
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = state as usize % broken.len();
            broken[at] = (state >> 24) as u8;
            let _ = outline(&broken);
        }
        let mut nested = bytes(12, &value("out", 1, &[]));
        for _ in 0..100 {
            nested = bytes(1, &bytes(5, &bytes(6, &nested)));
        }
        assert!(outline(&bytes(7, &nested)).is_err());
        for text in [
            &b"<!DOCTYPE html>"[..],
            b"version https://git-lfs.github.com/spec/v1\n",
            b"",
            b"\0\0\0\0",
        ] {
            assert!(outline(text).is_err());
        }
    }
}
