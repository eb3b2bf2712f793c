/**
 * The page for visitors while a site's daemon does not answer. It stands between single quotes in Nginx's configuration, so it
 * contains none of `'`, `\` and `$`.
 */
export const UNAVAILABLE_PAGE =
  '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Unavailable</title>' +
  "<h1>This site is not available at the moment</h1><p>Please try again in a few seconds.</p></html>";
