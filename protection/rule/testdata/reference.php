<?php
// Decides with PHP's own functions which items match a value: a plain reading of mosparo's two stages, without indexes and
// shortcuts. Each line of the input is {"path", "value", "escapes", "items": [[rule type, item type, value], ...]}, values
// in base64; each line of the output lists the positions of the items that match.
error_reporting(0);

const SPACE = '(^|\n|\s)';
const END = '($|\s|\n)';

function starts(string $path, string ...$prefixes): bool
{
    foreach ($prefixes as $p) {
        if (str_starts_with($path, $p)) {
            return true;
        }
    }
    return false;
}

function sqlLike(string $text, string $pattern, bool $escapes): bool
{
    $regex = '';
    for ($i = 0; $i < strlen($pattern); $i++) {
        if ($pattern[$i] === '\\' && $escapes && $i + 1 < strlen($pattern)) {
            $regex .= preg_quote($pattern[++$i], '~');
        } else {
            $regex .= ['%' => '.*', '_' => '(?:[\x00-\x7f]|[\xc0-\xff][\x80-\xbf]*)'][$pattern[$i]] ?? preg_quote($pattern[$i], '~');
        }
    }
    return preg_match("~\\A$regex\\z~s", $text) === 1;
}

// found lists what a field is searched for by hash.
function found(string $type, string $path, string $lower): array
{
    $all = fn (string $regex, int $group): array => preg_match_all($regex, $lower, $m) ? array_map('trim', $m[$group]) : [];
    $host = fn (string $regex): array => preg_match($regex, $lower, $m) && $m[1] ? [$m[1]] : [];
    $textarea = starts($path, 'formData.textarea');
    switch ($type) {
        case 'email':
            return starts($path, 'formData.input[email]') ? [$lower] : ($textarea ? $all('~' . SPACE . '[\w\-\.\+]+@([\w-]+\.)+[\w-]{2,}' . END . '~', 0) : []);
        case 'domain':
            if (starts($path, 'formData.input[email]')) {
                return $host('~@(.[^/\s]*)(\n|\s|$)~');
            }
            return starts($path, 'formData.input[url]') ? $host('~://(.[^/\s]*)(/|\n|\s|$)~') : ($textarea ? $all('~(@|://)(.[^/\s]*)(/|\n|\s|$)~', 2) : []);
        case 'url':
            return starts($path, 'formData.input[url]') ? [$lower]
                : ($textarea ? $all('~' . SPACE . '([a-zA-Z0-9]+)://([\w\-\.]+\.)*[\w\-\.]+\.\w{2,}(.[^\s]*)' . END . '~', 0) : []);
    }
    return starts($path, ['ipAddress' => 'client.ipAddress', 'asNumber' => 'client.asNumber', 'country' => 'client.country'][$type]) ? [$lower] : [];
}

function preselected(string $type, string $item, string $path, string $lower, bool $escapes): bool
{
    $item = strtolower($item);
    switch ($type) {
        case 'regex':
            return starts($path, 'formData.');
        case 'uaRegex':
            return starts($path, 'client.userAgent');
        case 'text':
        case 'uaText':
            $pattern = '%' . trim(str_replace('*', '%', $item), '%') . '%';
            break;
        case 'wExact':
        case 'wFull':
            $pattern = '%' . trim($item, '%') . '%';
            break;
        default:
            return in_array(hash('xxh128', $item), array_map(fn ($v) => hash('xxh128', $v), found($type, $path, $lower)), true);
    }
    return starts($path, $type === 'uaText' ? 'client.userAgent' : 'formData.') && sqlLike($lower, $pattern, $escapes);
}

function wildcard(string $pattern, string $text): bool
{
    $pattern = preg_replace('~\*+~', '*', $pattern);
    $parts = explode('*', $pattern);
    if (count($parts) === 2 && $pattern !== '*' && !str_contains($pattern, '?')) {
        return strlen($text) >= strlen($pattern) - 1 && str_starts_with($text, $parts[0]) && str_ends_with($text, $parts[1]);
    }
    return preg_match('~^' . strtr(preg_quote($pattern, '~'), ['\*' => '.*', '\?' => '.']) . '$~', $text) === 1;
}

function containsText(string $item, string $lower): bool
{
    $item = strtolower($item);
    return strpbrk($item, '*?') === false ? str_contains($lower, $item) : wildcard('*' . trim($item, '*') . '*', str_replace("\n", ' ', $lower));
}

function tested(string $rule, string $type, string $item, string $value): bool
{
    $lower = strtolower($value);
    $itemLower = strtolower($item);
    switch ($rule . ' ' . (in_array($rule, ['email', 'domain', 'website'], true) ? '*' : $type)) {
        case 'word text':
        case 'user-agent uaText':
            return containsText($item, $lower);
        case 'word wExact':
            return preg_match('/(^|\W+)' . preg_quote($item) . '($|\W+)/i', $value) === 1;
        case 'word wFull':
            return trim($item) === trim($value);
        case 'word regex':
        case 'user-agent uaRegex':
            return preg_match($item, $value) === 1;
        case 'email *':
            return trim($lower) === trim($itemLower) || preg_match('~(^|\s+)' . preg_quote(trim($itemLower), '~') . '(\s+|$)~', trim($lower)) === 1;
        case 'domain *':
            return preg_match('~(^|\.|//|@)' . preg_quote(trim($itemLower, './'), '~') . '($|/|#|\?|&)~is', $lower) === 1;
        case 'website *':
            return str_contains($lower, str_contains($itemLower, '//') ? $itemLower : '//' . $itemLower);
        case 'ipAddress ipAddress':
            return $itemLower === $lower;
        case 'provider asNumber':
        case 'provider country':
        case 'provider ipAddress':
            return $item === $value;
    }
    return false;
}

while (($line = fgets(STDIN)) !== false) {
    $ask = json_decode($line, true);
    $value = base64_decode($ask['value']);
    $matches = [];
    foreach ($ask['items'] as $i => [$rule, $type, $item]) {
        $item = base64_decode($item);
        if (preselected($type, $item, $ask['path'], strtolower($value), $ask['escapes']) && tested($rule, $type, $item, $value)) {
            $matches[] = $i;
        }
    }
    echo json_encode($matches), "\n";
}
