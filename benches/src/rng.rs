//! Seeded random numbers, the zipf distribution and the keys of every load.
//!
//! Everything random in a measurement comes from [`Rng`] (xoshiro256++, seeded through
//! splitmix64), so that a run can be repeated from its printed seed. [`Zipf`] draws ranks by
//! rejection-inversion (W. Hörmann, G. Derflinger, 1996): constant time and no table, whatever the
//! number of keys.

/// xoshiro256++ generator.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// A generator whose whole sequence is fixed by `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut x = seed;
        let mut next = || {
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(x)
        };
        Self { state: [next(), next(), next(), next()] }
    }

    /// The next 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number below `n` (`n` > 0). The bias of the multiply-shift is below n / 2^64.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// A number in `[0, 1)`.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A waiting time of a Poisson process with the given mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -(1.0 - self.unit()).ln() * mean
    }
}

/// The finaliser of splitmix64: a bijection that scatters consecutive numbers.
#[inline]
#[must_use]
pub fn mix(x: u64) -> u64 {
    let z = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Zipf distribution over the ranks `0..n` with exponent `s`.
#[derive(Clone, Debug)]
pub struct Zipf {
    n: f64,
    s: f64,
    h_x1: f64,
    h_n: f64,
    shift: f64,
}

impl Zipf {
    /// Distribution over `n` ranks, rank 0 the most frequent. `exponent` > 0.
    #[must_use]
    pub fn new(n: u64, exponent: f64) -> Self {
        let mut zipf = Self { n: n as f64, s: exponent, h_x1: 0.0, h_n: 0.0, shift: 0.0 };
        zipf.h_x1 = zipf.integral(1.5) - 1.0;
        zipf.h_n = zipf.integral(zipf.n + 0.5);
        zipf.shift = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.density(2.0));
        zipf
    }

    /// Draws a rank.
    pub fn sample(&self, rng: &mut Rng) -> u64 {
        loop {
            let u = self.h_n + rng.unit() * (self.h_x1 - self.h_n);
            let x = self.inverse(u);
            let k = (x + 0.5).floor().clamp(1.0, self.n);
            if k - x <= self.shift || u >= self.integral(k + 0.5) - self.density(k) {
                return k as u64 - 1;
            }
        }
    }

    fn density(&self, x: f64) -> f64 {
        (-self.s * x.ln()).exp()
    }

    /// Integral of the density: (x^(1-s) - 1) / (1-s), continuous at s = 1.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        expm1_ratio((1.0 - self.s) * log) * log
    }

    fn inverse(&self, u: f64) -> f64 {
        let t = (u * (1.0 - self.s)).max(-1.0);
        (log1p_ratio(t) * u).exp()
    }
}

fn expm1_ratio(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.exp_m1() / x } else { 1.0 + x / 2.0 * (1.0 + x / 3.0) }
}

fn log1p_ratio(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.ln_1p() / x } else { 1.0 - x * (0.5 - x / 3.0) }
}

/// Length of every key the generators make.
pub const KEY_LEN: usize = 16;
/// Digits at the end of a key.
pub const KEY_DIGITS: usize = 12;

/// Writes `n` as decimal digits with leading zeros over the whole of `out`.
#[inline]
pub fn write_digits(out: &mut [u8], mut n: u64) {
    for byte in out.iter_mut().rev() {
        *byte = b'0' + (n % 10) as u8;
        n /= 10;
    }
}

/// The 16-byte key number `n`: `key:` and twelve digits, as redis-benchmark writes them.
#[must_use]
pub fn key(n: u64) -> [u8; KEY_LEN] {
    let mut key = *b"key:000000000000";
    write_digits(&mut key[4..], n);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_follows_its_law() {
        let (n, s, draws) = (1000u64, 0.99, 400_000);
        let zipf = Zipf::new(n, s);
        let mut rng = Rng::new(7);
        let mut counts = vec![0u32; n as usize];
        for _ in 0..draws {
            counts[zipf.sample(&mut rng) as usize] += 1;
        }
        let norm: f64 = (1..=n).map(|k| (k as f64).powf(-s)).sum();
        for rank in [0usize, 1, 2, 9, 99] {
            let expected = ((rank + 1) as f64).powf(-s) / norm * f64::from(draws);
            let seen = f64::from(counts[rank]);
            let tolerance = 5.0 * expected.sqrt();
            assert!((seen - expected).abs() < tolerance, "rank {rank}: {seen} against {expected}");
        }
    }

    #[test]
    fn zipf_with_exponent_one_stays_in_range() {
        let zipf = Zipf::new(10, 1.0);
        let mut rng = Rng::new(1);
        let mut seen = [false; 10];
        for _ in 0..10_000 {
            seen[zipf.sample(&mut rng) as usize] = true;
        }
        assert_eq!(seen, [true; 10]);
    }

    #[test]
    fn same_seed_same_sequence() {
        let (mut a, mut b, mut c) = (Rng::new(5), Rng::new(5), Rng::new(6));
        let first: Vec<u64> = (0..8).map(|_| a.next_u64()).collect();
        assert_eq!(first, (0..8).map(|_| b.next_u64()).collect::<Vec<_>>());
        assert_ne!(first, (0..8).map(|_| c.next_u64()).collect::<Vec<_>>());
    }

    #[test]
    fn keys_have_sixteen_bytes() {
        assert_eq!(&key(1_234_567), b"key:000001234567");
    }

    #[test]
    fn below_covers_its_range() {
        let mut rng = Rng::new(3);
        let mut seen = [false; 7];
        for _ in 0..1000 {
            seen[rng.below(7) as usize] = true;
        }
        assert_eq!(seen, [true; 7]);
    }
}
