#![no_main]

dunlin_fuzz::target!(frames);
