//! Is a graph of vectors that was half saved made anew?
