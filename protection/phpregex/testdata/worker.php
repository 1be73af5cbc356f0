<?php
// Answers lines of "base64(pattern) base64(subject)": 1 match, 0 no match, E pattern refused, X anything else (limits, UTF-8).
error_reporting(0);
ini_set('pcre.backtrack_limit', '10000000');
while (($line = fgets(STDIN)) !== false) {
    [$pattern, $subject] = array_map('base64_decode', explode(' ', rtrim($line, "\n")));
    $result = preg_match($pattern, $subject);
    if ($result !== false) {
        $answer = (string) $result;
    } else {
        $answer = preg_last_error() === PREG_INTERNAL_ERROR && !str_contains(preg_last_error_msg(), 'JIT') ? 'E' : 'X';
    }
    fwrite(STDOUT, $answer . "\n");
}
