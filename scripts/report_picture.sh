#!/bin/sh
# report_picture.sh REPORT.html OUT.png: the beginning of a report of `edgevc quantize` in two columns, by chromium.
set -eu
[ $# = 2 ] || { echo "usage: sh scripts/report_picture.sh REPORT.html OUT.png" >&2; exit 2; }
report=$(realpath "$1")
out=$(realpath -m "$2")
[ -f "$report" ] || { echo "there is no $report; edgevc quantize ... --report report.html makes one" >&2; exit 5; }
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
  echo "this needs chromium: apt-get install chromium" >&2
  exit 4
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
width=790 height=1270
cat >"$folder/page.html" <<END
<!doctype html><style>
body{margin:0;display:flex}
div{width:${width}px;height:${height}px;overflow:hidden}
iframe{border:0;width:${width}px;height:$((2 * height))px}
div+div iframe{margin-top:-${height}px}
</style><div><iframe src="file://$report"></iframe></div><div><iframe src="file://$report"></iframe></div>
END
"$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --force-device-scale-factor=0.85 \
  --window-size=$((2 * width)),$height --screenshot="$out" "file://$folder/page.html" 2>/dev/null
[ -s "$out" ] || { echo "$browser wrote no picture" >&2; exit 1; }
echo "$out"
