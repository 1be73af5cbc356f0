<?php
// Prints the Unicode data that the PCRE2 library of this PHP uses, one set a line:
//   name gap+length gap+length ...     code point ranges, both numbers in base 36
//   fold a b c d ...                   characters that are equal without case, base 36
// Run by `go generate`; the result is unicode.txt.
ini_set('memory_limit', '1G');
ini_set('pcre.backtrack_limit', '100000000');
ini_set('pcre.jit', '0');

$categories = ['Lu', 'Ll', 'Lt', 'Lm', 'Lo', 'Mn', 'Mc', 'Me', 'Nd', 'Nl', 'No', 'Pc', 'Pd', 'Ps', 'Pe', 'Pi', 'Pf', 'Po',
    'Sm', 'Sc', 'Sk', 'So', 'Zs', 'Zl', 'Zp', 'Cc', 'Cf', 'Co', 'Cn'];
$scripts = explode(' ', 'Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki Bopomofo Brahmi Braille '
    . 'Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian Common Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic '
    . 'Deseret Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Georgian Glagolitic Gothic Grantha Greek Gujarati '
    . 'Gunjala_Gondi Gurmukhi Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi '
    . 'Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kayah_Li Kharoshthi Khitan_Small_Script Khmer Khojki Khudawadi Lao Latin Lepcha Limbu '
    . 'Linear_A Linear_B Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek Mende_Kikakui '
    . 'Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong '
    . 'Ogham Ol_Chiki Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage '
    . 'Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham SignWriting '
    . 'Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut Telugu '
    . 'Thaana Thai Tibetan Tifinagh Tirhuta Toto Ugaritic Vai Vithkuqi Wancho Warang_Citi Yezidi Yi Zanabazar_Square');

$all = '';
for ($c = 0; $c <= 0x10FFFF; $c++) {
    if ($c < 0xD800 || $c > 0xDFFF) {
        $all .= mb_chr($c, 'UTF-8');
    }
}

function emit(string $name, string $text, string $class): void
{
    $line = strtolower(str_replace('_', '', $name));
    preg_match_all("~$class+~u", $text, $found);
    $at = 0;
    foreach ($found[0] as $run) {
        $first = mb_ord(mb_substr($run, 0, 1, 'UTF-8'), 'UTF-8');
        $last = mb_ord(mb_substr($run, -1, 1, 'UTF-8'), 'UTF-8');
        $line .= ' ' . base_convert((string) ($first - $at), 10, 36) . '+' . base_convert((string) ($last - $first), 10, 36);
        $at = $last + 1;
    }
    echo $line, "\n";
}

foreach ($categories as $name) {
    emit($name, $all, "\\p{{$name}}");
}
foreach ($scripts as $name) {
    emit($name, $all, "\\p{{$name}}");
}
emit('word', $all, '\\w');
emit('space', $all, '\\s');
emit('h', $all, '\\h');
emit('v', $all, '\\v');
emit('punct', $all, '[[:punct:]]');

preg_match_all('~[\p{Lu}\p{Ll}\p{Lt}\p{Mn}\p{Nl}\p{So}\p{Lo}\p{Lm}]~u', $all, $found);
$candidates = [];
foreach (array_chunk($found[0], 2000) as $chunk) {
    // A character has another case when a text of it doubled by a caseless set matches more than itself.
    foreach ($chunk as $c) {
        if (mb_strtolower($c, 'UTF-8') !== $c || mb_strtoupper($c, 'UTF-8') !== $c || preg_match('~^\p{L&}$~u', $c)) {
            $candidates[] = $c;
        }
    }
}
$text = implode('', $candidates) . 'ßẞſKÅµΩθιςεϵ' . "\u{345}\u{1FBE}";
$seen = [];
foreach ($candidates as $c) {
    if (isset($seen[$c])) {
        continue;
    }
    preg_match_all('~' . preg_quote($c, '~') . '~iu', $text, $found);
    $set = array_unique($found[0]);
    if (count($set) < 2) {
        continue;
    }
    sort($set, SORT_STRING);
    $line = 'fold';
    foreach ($set as $s) {
        $seen[$s] = true;
        $line .= ' ' . base_convert((string) mb_ord($s, 'UTF-8'), 10, 36);
    }
    echo $line, "\n";
}
