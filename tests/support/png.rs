//! Pictures that Chromium takes: PNG of eight bits a sample, not interlaced (RFC 2083).

use std::io::Read;

/// Its pixels, row by row.
pub struct Picture {
    pub width: usize,
    pub pixels: Vec<[u8; 3]>,
}

impl Picture {
    pub fn read(png: &[u8]) -> Picture {
        assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
        let word = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("4")) as usize;
        let (width, height) = (word(16), word(20));
        // Bits of a sample, kind of colour, and no interlacing.
        let samples = match (png[24], png[25], png[28]) {
            (8, 2, 0) => 3,
            (8, 6, 0) => 4,
            other => panic!("a form that Chromium does not write: {other:?}"),
        };
        let mut packed = Vec::new();
        let mut at = 8;
        while at < png.len() {
            let length = word(at);
            if &png[at + 4..at + 8] == b"IDAT" {
                packed.extend(&png[at + 8..at + 8 + length]);
            }
            at += length + 12;
        }
        let mut bytes = Vec::new();
        let mut inflated = flate2::read::ZlibDecoder::new(packed.as_slice());
        inflated.read_to_end(&mut bytes).expect("pixels");
        let row_bytes = width * samples;
        assert_eq!(bytes.len(), (row_bytes + 1) * height);
        let mut above = vec![0; row_bytes];
        let mut pixels = Vec::with_capacity(width * height);
        for row in bytes.chunks_exact_mut(row_bytes + 1) {
            let (filter, row) = row.split_first_mut().expect("a filter");
            unfilter(*filter, row, &above, samples);
            pixels.extend(
                row.chunks_exact(samples)
                    .map(|pixel| [pixel[0], pixel[1], pixel[2]]),
            );
            above.copy_from_slice(row);
        }
        Picture { width, pixels }
    }

    /// How many pixels have this colour, or nearly.
    pub fn count(&self, colour: [u8; 3]) -> usize {
        let is_near = |pixel: &&[u8; 3]| pixel.iter().zip(colour).all(|(a, b)| a.abs_diff(b) <= 6);
        self.pixels.iter().filter(is_near).count()
    }
}

/// §6 of the RFC.
fn unfilter(filter: u8, row: &mut [u8], above: &[u8], samples: usize) {
    for at in 0..row.len() {
        let left = if at < samples { 0 } else { row[at - samples] };
        let corner = if at < samples { 0 } else { above[at - samples] };
        let (a, b, c) = (i32::from(left), i32::from(above[at]), i32::from(corner));
        let add = match filter {
            0 => 0,
            1 => a,
            2 => b,
            3 => (a + b) / 2,
            _ => {
                let near = a + b - c;
                let (da, db, dc) = ((near - a).abs(), (near - b).abs(), (near - c).abs());
                if da <= db && da <= dc {
                    a
                } else if db <= dc {
                    b
                } else {
                    c
                }
            }
        };
        row[at] = row[at].wrapping_add(add as u8);
    }
}
