#![no_main]

dunlin_fuzz::target!(restore);
