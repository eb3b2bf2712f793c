<?php
// The demo tenant's page: shows its account and process, and the posted text.
$account = function_exists('posix_geteuid') ? (posix_getpwuid(posix_geteuid())['name'] ?? posix_geteuid()) : get_current_user();
$said = is_string($_POST['text'] ?? null) ? $_POST['text'] : null;
$facts = [
    'Runs as' => $account,
    'Process' => getmypid(),
    'PHP' => PHP_VERSION . ', ' . PHP_SAPI,
    'Web server' => $_SERVER['SERVER_SOFTWARE'] ?? 'none',
];
?>
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>dmhost runs</title>
<link rel="stylesheet" href="/style.css">
<main>
  <h1>It runs.</h1>
  <p>A tenant's PHP program answered this request. Kill its process and load the page again: another one answers.</p>
  <dl>
<?php foreach ($facts as $name => $value) { ?>
    <dt><?= htmlspecialchars($name) ?></dt>
    <dd><?= htmlspecialchars((string) $value) ?></dd>
<?php } ?>
  </dl>
  <form method="post">
    <label>Say something <input name="text" maxlength="200" required></label>
    <button>Post it</button>
  </form>
<?php if ($said !== null) { ?>
  <p class="said">You posted: <?= htmlspecialchars($said) ?></p>
<?php } ?>
</main>
</html>
