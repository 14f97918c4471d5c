//! Pictures: a source of them, and what the service does with one.
//!
//! The format is QOI ("quite OK image"), which is lossless, simple and fast; a picture is decoded,
//! scaled down and encoded again, so that a transformation costs what it costs in a real service.

/// By how much a source is scaled down.
const SCALE: usize = 4;

type Pixel = [u8; 4];

const BLACK: Pixel = [0, 0, 0, 255];
const INDEX: u8 = 0x00;
const DIFF: u8 = 0x40;
const LUMA: u8 = 0x80;
const RUN: u8 = 0xc0;
const RGB: u8 = 0xfe;
const RGBA: u8 = 0xff;
const LONGEST_RUN: u8 = 62;
const END: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 1];

/// A picture in memory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<Pixel>,
}

/// The file of image `number` as it lies in the store behind the service, with `side` pixels along each
/// side.
pub(crate) fn source(number: u64, side: usize) -> Vec<u8> {
    let (hue, period) = ((number.wrapping_mul(37) % 256) as u8, 8 + (number % 23) as usize);
    let pixels = (0..side * side).map(|at| {
        let (x, y) = (at % side, at / side);
        let stripe = if (x / period + y / period).is_multiple_of(2) { 40 } else { 0 };
        [(x as u8).wrapping_add(hue), (y as u8).wrapping_add(stripe), hue ^ (x * y / 64) as u8, 255]
    });
    Picture { width: side, height: side, pixels: pixels.collect() }.encode()
}

/// Makes the thumbnail of a file.
pub(crate) fn thumbnail(file: &[u8]) -> Option<Vec<u8>> {
    Some(Picture::decode(file)?.scale_down(SCALE)?.encode())
}

impl Picture {
    /// Each pixel becomes the mean of `by` times `by`.
    fn scale_down(&self, by: usize) -> Option<Picture> {
        let (width, height) = (self.width / by, self.height / by);
        let count = u32::try_from(by * by).ok().filter(|count| *count > 0)?;
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let mut sum = [0u32; 4];
                for row in y * by..(y + 1) * by {
                    let from = row * self.width + x * by;
                    for pixel in self.pixels.get(from..from + by)? {
                        sum.iter_mut().zip(pixel).for_each(|(sum, part)| *sum += u32::from(*part));
                    }
                }
                pixels.push(sum.map(|sum| (sum / count) as u8));
            }
        }
        Some(Picture { width, height, pixels })
    }

    fn encode(&self) -> Vec<u8> {
        let mut file = b"qoif".to_vec();
        file.extend((self.width as u32).to_be_bytes());
        file.extend((self.height as u32).to_be_bytes());
        file.extend([4, 0]);
        let (mut seen, mut before, mut run) = ([[0; 4]; 64], BLACK, 0);
        for &pixel in &self.pixels {
            if pixel == before {
                run += 1;
                if run == LONGEST_RUN {
                    file.push(RUN | (run - 1));
                    run = 0;
                }
                continue;
            }
            if run > 0 {
                file.push(RUN | (run - 1));
                run = 0;
            }
            let place = place_of(pixel);
            if seen[place] == pixel {
                file.push(INDEX | place as u8);
            } else {
                seen[place] = pixel;
                encode_change(before, pixel, &mut file);
            }
            before = pixel;
        }
        if run > 0 {
            file.push(RUN | (run - 1));
        }
        file.extend(END);
        file
    }

    fn decode(file: &[u8]) -> Option<Picture> {
        let (head, mut rest) = file.split_first_chunk::<14>()?;
        let number = |at: usize| Some(u32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?));
        let (width, height) = (number(4)? as usize, number(8)? as usize);
        if !head.starts_with(b"qoif") || width.max(height) > 1 << 14 {
            return None;
        }
        let (mut seen, mut pixel) = ([[0; 4]; 64], BLACK);
        let mut pixels = Vec::new();
        while pixels.len() < width * height {
            let (&tag, after) = rest.split_first()?;
            rest = after;
            let mut repeat = 1;
            match tag {
                RGB => {
                    let (colour, after) = rest.split_first_chunk::<3>()?;
                    pixel = [colour[0], colour[1], colour[2], pixel[3]];
                    rest = after;
                }
                RGBA => {
                    let (all, after) = rest.split_first_chunk::<4>()?;
                    (pixel, rest) = (*all, after);
                }
                _ if tag & 0xc0 == INDEX => pixel = seen[usize::from(tag)],
                _ if tag & 0xc0 == RUN => repeat = usize::from(tag & 0x3f) + 1,
                _ if tag & 0xc0 == DIFF => {
                    let part = |shift: u8| (tag >> shift & 3).wrapping_sub(2);
                    pixel = changed(pixel, part(4), part(2), part(0));
                }
                _ => {
                    let (&more, after) = rest.split_first()?;
                    rest = after;
                    let green = (tag & 0x3f).wrapping_sub(32);
                    let red = green.wrapping_add((more >> 4).wrapping_sub(8));
                    let blue = green.wrapping_add((more & 15).wrapping_sub(8));
                    pixel = changed(pixel, red, green, blue);
                }
            }
            seen[place_of(pixel)] = pixel;
            let room = width * height - pixels.len();
            pixels.extend(std::iter::repeat_n(pixel, repeat.min(room)));
        }
        Some(Picture { width, height, pixels })
    }
}

fn place_of([red, green, blue, alpha]: Pixel) -> usize {
    let [red, green, blue, alpha] = [red, green, blue, alpha].map(usize::from);
    (red * 3 + green * 5 + blue * 7 + alpha * 11) % 64
}

fn changed([red, green, blue, alpha]: Pixel, by_red: u8, by_green: u8, by_blue: u8) -> Pixel {
    [red.wrapping_add(by_red), green.wrapping_add(by_green), blue.wrapping_add(by_blue), alpha]
}

fn encode_change(before: Pixel, pixel: Pixel, file: &mut Vec<u8>) {
    let [red, green, blue, alpha] = pixel;
    if alpha != before[3] {
        file.push(RGBA);
        file.extend(pixel);
        return;
    }
    let [by_red, by_green, by_blue, _] = std::array::from_fn(|i| pixel[i].wrapping_sub(before[i]));
    let small = |change: u8, half: u8| change.wrapping_add(half) < half * 2;
    let (red_green, blue_green) = (by_red.wrapping_sub(by_green), by_blue.wrapping_sub(by_green));
    if small(by_red, 2) && small(by_green, 2) && small(by_blue, 2) {
        let part = |change: u8, shift: u8| change.wrapping_add(2) << shift;
        file.push(DIFF | part(by_red, 4) | part(by_green, 2) | part(by_blue, 0));
    } else if small(by_green, 32) && small(red_green, 8) && small(blue_green, 8) {
        file.push(LUMA | by_green.wrapping_add(32));
        file.push(red_green.wrapping_add(8) << 4 | blue_green.wrapping_add(8));
    } else {
        file.extend([RGB, red, green, blue]);
    }
}
